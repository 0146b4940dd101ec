"""What people may take, what they take, and what is refused beyond it."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from tests.app.people import settle
from tests.worker.store.several import as_
from worker.contract.errors import NotFound, TooMuch
from worker.contract.limits import Limits
from worker.contract.selection import FactsSpec
from worker.contract.spec import LocalizeSpec, Spec
from worker.engine.study.built_in import built_in_study
from worker.store.limits import EVERYBODY, at_their_limit, most_running, refuse_beyond
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.tables import Run
from worker.store.taking import Taker

SPEC = LocalizeSpec(facts=FactsSpec(set="tiny"), method="m")
STUDY = built_in_study("paper_comparison")


@pytest.fixture
def people(store: Store) -> Store:
    settle(store)
    return store


def add(
    store: Store, owner: str = "max", parents: Sequence[str] = (), spec: Spec = SPEC, **values: Any
) -> str:
    with store.database.write() as session:
        id = insert_run(session, spec, owner=owner, title="", tags=(), parents=parents, priority=1)
        if values:
            session.execute(sa.update(Run).where(Run.id == id).values(values))
    return id


def refusal(store: Store, person: str, project: str = "") -> TooMuch | None:
    with store.database.read() as session:
        try:
            refuse_beyond(session, person, project)
        except TooMuch as error:
            return error
    return None


def test_limits_are_set_for_everybody_and_for_single_people_and_let_go(people: Store) -> None:
    people.set_limits(EVERYBODY, Limits(waiting=3, storage=10))
    people.set_limits("mia", Limits(waiting=9))
    assert people.limits_of("max") == Limits(waiting=3, storage=10)
    assert people.limits_of("mia") == Limits(waiting=9, storage=10)
    assert people.limits_of("ada") == Limits(), "an admin has none but their own"
    people.set_limits("ada", Limits(running=1))
    assert people.limits_of("ada") == Limits(running=1)
    people.set_limits("mia", Limits())
    assert people.limits() == {"": Limits(waiting=3, storage=10), "ada": Limits(running=1)}
    with pytest.raises(NotFound, match="nobody"):
        people.set_limits("nobody", Limits(waiting=1))


def test_runs_that_wait_are_counted_and_a_study_as_one(people: Store) -> None:
    study = add(people, spec=STUDY)
    add(people, parents=[study])
    add(people)
    add(people, state="interrupted")
    add(people, owner="mia")
    add(people, state="done")
    assert people.used("max").waiting == 3
    people.set_limits("max", Limits(waiting=4))
    assert refusal(people, "max") is None
    people.set_limits("max", Limits(waiting=3))
    error = refusal(people, "max")
    assert error is not None and error.seconds == 30
    assert "3 of your runs wait, and 3 at once are the limit" in error.message
    assert refusal(people, "mia") is None


def test_the_days_seconds_are_of_today_and_of_what_was_computed_here(people: Store) -> None:
    now = time.time()
    midnight = now // 86400 * 86400
    since = now - midnight
    here = {"taken": now, "state": "done"}
    add(people, **here, started=midnight - 500, finished=midnight - 100)
    add(people, **here, started=midnight - 100, finished=midnight + since / 4)
    add(people, **(here | {"state": "running"}), started=midnight + since / 2)
    add(people, state="done", started=midnight, finished=now)  # it came with a bundle
    add(people, spec=STUDY, **here, started=midnight, finished=now)
    used = people.used("max")
    assert used.device_seconds == pytest.approx(since * 0.75, abs=5)
    assert used.resets.timestamp() == midnight + 86400
    people.set_limits("max", Limits(device_seconds=86400.0))
    assert refusal(people, "max") is None
    people.set_limits("max", Limits(device_seconds=0.0))
    error = refusal(people, "max")
    assert error is not None and error.seconds == pytest.approx(86400 - since, abs=5)
    assert "begins at midnight UTC, in" in error.message


def test_files_are_counted_in_bytes_and_waiting_does_not_help(people: Store) -> None:
    add(people, state="done", bytes=3 * 10**9)
    add(people, state="done", bytes=10**9, archived=True)
    add(people, owner="mia", bytes=10**9)
    assert people.used("max").storage == 4 * 10**9
    people.set_limits("max", Limits(storage=4 * 10**9 + 1))
    assert refusal(people, "max") is None
    people.set_limits("max", Limits(storage=4 * 10**9))
    error = refusal(people, "max")
    assert error is not None and error.seconds is None
    assert "take 4GB, and 4GB are the limit" in error.message


def test_who_has_as_many_computed_as_may_be_is_at_their_limit(people: Store) -> None:
    add(people, state="running")
    add(people, spec=STUDY, state="running")
    add(people, owner="mia", state="loading")
    takers = [Taker("person", name) for name in ("max", "mia", "ada", "")]
    with people.database.read() as session:
        assert at_their_limit(session, takers) == set()
    people.set_limits(EVERYBODY, Limits(running=1))
    people.set_limits("mia", Limits(running=2))
    with people.database.read() as session:
        assert at_their_limit(session, takers) == {Taker("person", "max")}
        assert [most_running(session, taker) for taker in takers] == [1, 2, None, None]
    waits = add(people)
    assert people.run(waits).held == "max" and not people.run(add(people, owner="mia")).held
    assert not people.run(add(people, spec=STUDY)).held


def test_a_project_s_limits_hold_beside_those_of_each_who_submits_into_it(people: Store) -> None:
    sports = people.make_project("Sports", "max").id
    add(people, project=sports)
    add(people, owner="mia", project=sports)
    add(people, owner="mia")
    assert (people.used("", sports).waiting, people.used("mia").waiting) == (2, 2)
    people.set_limits("mia", Limits(waiting=3))
    people.set_project_limits(EVERYBODY, Limits(waiting=3))
    assert refusal(people, "mia", sports) is None
    people.set_project_limits(sports, Limits(waiting=2, storage=10))
    assert people.limits_of("", sports) == Limits(waiting=2, storage=10)
    error = refusal(people, "mia", sports)
    assert error is not None and error.seconds == 30
    assert error.message.startswith(
        "2 of the runs of the project 'Sports' wait, and 2 at once are the limit for it on this"
    )
    assert refusal(people, "mia") is None, "what is in no project is not the project's"
    assert refusal(people, "ada", sports) is not None, "it holds for admins too"
    people.set_limits("mia", Limits(waiting=2))
    assert "2 of your runs wait" in str(refusal(people, "mia", sports))
    people.set_project_limits(sports, Limits())
    assert people.project_limits() == {"": Limits(waiting=3)}
    with pytest.raises(NotFound, match="no project 'nothing'"):
        people.set_project_limits("nothing", Limits(waiting=1))


def test_a_project_s_seconds_of_today_and_its_files_are_of_all_who_are_in_it(people: Store) -> None:
    sports = people.make_project("Sports", "max").id
    now = time.time()
    midnight = now // 86400 * 86400
    took = {"taken": now, "state": "done", "started": midnight, "bytes": 2 * 10**9}
    for owner in ("max", "mia"):
        add(people, owner=owner, project=sports, **took, finished=midnight + (now - midnight) / 2)
    found = people.used("", sports)
    assert found.storage == 4 * 10**9
    assert found.device_seconds == pytest.approx(now - midnight, abs=5)
    people.set_project_limits(sports, Limits(device_seconds=0.0))
    error = refusal(people, "mia", sports)
    assert error is not None and error.message.startswith("The runs of the project 'Sports' have")
    assert error.seconds == pytest.approx(86400 - (now - midnight), abs=5)
    people.set_project_limits(sports, Limits(storage=4 * 10**9))
    error = refusal(people, "mia", sports)
    assert error is not None and error.seconds is None
    assert "The files of the runs of the project 'Sports' take 4GB, and 4GB are" in error.message


def test_a_run_is_not_shared_into_a_project_that_has_no_room_for_its_files(people: Store) -> None:
    sports = people.make_project("Sports", "max").id
    took = {"state": "done", "bytes": 2 * 10**9}
    add(people, owner="max", project=sports, **took)
    other, study = add(people, owner="max", **took), add(people, owner="max", kind="study")
    child = add(people, owner="max", **took, parents=[study])
    people.set_project_limits(sports, Limits(storage=3 * 10**9))
    max_ = as_(people, "max")
    for one in (other, study):
        with pytest.raises(TooMuch, match="'Sports' take 2GB, this run's 2GB, and 3GB are the"):
            max_.share("run", one, "project", sports)
        assert people.run(one).project == ""
    people.set_project_limits(sports, Limits(storage=4 * 10**9))
    max_.share("run", study, "project", sports)
    assert people.run(child).project == sports and people.used("", sports).storage == 4 * 10**9
    max_.share("run", study, "private")
    max_.share("run", study, "project", sports)  # what is in it already takes no more room


def test_a_project_of_which_as_many_are_computed_as_may_be_has_its_next_run_wait(
    people: Store,
) -> None:
    sports = people.make_project("Sports", "max").id
    add(people, project=sports, state="running")
    waits = add(people, owner="mia", project=sports)
    assert people.run(waits).held == ""
    people.set_project_limits(EVERYBODY, Limits(running=1))
    assert people.run(waits).held == "the project Sports"
    assert people.run(add(people, owner="mia")).held == ""
