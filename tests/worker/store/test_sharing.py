"""Who may see what was made, as its owner chooses it."""

from dataclasses import replace

import pytest

from tests.worker.store.several import all_of, as_, make
from tests.worker.store.test_acting import FACTS, SPEC, run
from tests.worker.store.test_sight import seen
from worker.contract.errors import Forbidden, NotFound, UserError
from worker.contract.facts import FactSet
from worker.contract.spec import parse_spec
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.tables import Run


def test_anybody_sees_only_what_an_admin_lets_be_opened(people: Store) -> None:
    max_, nobody = as_(people, "max", may_open=True), as_(people, "")
    made = make(max_, "own")
    with pytest.raises(UserError, match="LETHE_ANYBODY"):
        as_(people, "max").share("run", made["run"], "anybody")
    for what, id in made.items():
        max_.share(what, id, "anybody")
    assert seen(nobody) == all_of(made) == seen(as_(people, "vera"))
    with pytest.raises(UserError, match="in no project"):
        max_.share("run", made["run"], "project")
    with pytest.raises(UserError, match="visibility"):
        max_.share("run", made["run"], "public")


def test_a_studys_runs_go_where_it_goes(people: Store) -> None:
    max_ = as_(people, "max")
    study = run(people, "max")
    with people.database.write() as session:
        row = session.get_one(Run, study)
        row.kind, row.visibility = "study", "private"
    with people.database.write() as session:
        named = {"title": "", "tags": (), "parents": (study,), "priority": 0}
        child = insert_run(session, parse_spec(SPEC), owner="max", **named)
    assert people.run(child).visibility == "private"
    project = max_.make_project("P")
    max_.share("run", study, "project", project.id)
    found = people.run(child)
    assert (found.visibility, found.project) == ("project", project.id)


def test_it_is_said_whose_something_is_and_who_may_see_it(people: Store) -> None:
    max_ = as_(people, "max", may_open=True)
    made = make(max_, "own")
    names = {what: max_.shared(what, id).name for what, id in made.items()}
    title = people.run(made["run"]).title
    expected = {"run": title, "fact set": "own", "mask": "m v1", "text": "own", "circuit": "own"}
    assert names == expected
    for what, id in made.items():
        found = max_.shared(what, id)
        assert (found.owner, found.project, found.visibility) == ("max", "", "private")
        assert not found.bundled and not people.is_opened(what, id)
        max_.share(what, id, "server")
        assert not people.is_opened(what, id)
        max_.share(what, id, "anybody")
        assert people.is_opened(what, id)
        max_.share(what, id, "private")
        assert not people.is_opened(what, id), "revoked at once"
        assert not people.is_opened(what, "nothing")
        with pytest.raises(NotFound, match=f"no {what} 'nothing' that could be shared"):
            max_.shared(what, "nothing")
        with pytest.raises(NotFound, match=f"no {what} 'nothing' that could be shared"):
            max_.share(what, "nothing", "server")


def test_what_ships_is_shared_by_nobody(people: Store) -> None:
    people.save_fact_set(FactSet(name="shipped", facts=FACTS), bundled=True)
    assert people.shared("fact set", "shipped").bundled
    with pytest.raises(NotFound, match="that could be shared"):
        as_(people, "ada").share("fact set", "shipped", "private")


def test_nothing_is_put_into_a_project_that_takes_nothing_from_its_owner(people: Store) -> None:
    max_, mia = as_(people, "max"), as_(people, "mia")
    made = make(mia, "own")
    project = max_.make_project("P")
    with pytest.raises(NotFound, match="no project"):
        mia.share("run", made["run"], "project", project.id)
    max_.set_member(project.id, "mia", "viewer")
    with pytest.raises(Forbidden, match="You are a viewer of the project 'P'"):
        mia.share("run", made["run"], "project", project.id)
    assert mia.shared("run", made["run"]).project == ""
    max_.set_member(project.id, "mia", "member")
    told: list[str] = []
    telling = people.acting_for(replace(mia.acting, tell=told.append))
    telling.share("run", made["run"], "project", project.id)
    telling.share("run", made["run"], "server")
    id = made["run"]
    assert told == [f"run {id}: project ({project.id})", f"run {id}: server"]
    with pytest.raises(Forbidden, match="is mia's"):
        max_.share("run", id, "private")
