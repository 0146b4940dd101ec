"""Who may see what was made, as its owner chooses it."""

import pytest

from tests.worker.store.several import all_of, as_, make
from tests.worker.store.test_acting import SPEC, run
from tests.worker.store.test_sight import seen
from worker.contract.errors import UserError
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
