"""Which run a free worker is handed, and what becomes of a dead one's."""

from typing import Any

import pytest
import sqlalchemy as sa

from tests.app.people import settle
from tests.worker.engine import fake_door
from worker.contract.limits import Limits
from worker.contract.settings import Settings
from worker.engine.handing import Handing, give_back
from worker.engine.queue import jobs_table, queue_of
from worker.store.acting import Acting
from worker.store.attempts import Adopted
from worker.store.turns import Waiting


@pytest.fixture
def two(engine: Any, fleet: Any) -> Any:
    """An engine with two workers' rows, each of which can do all, and no process."""
    engine._client()
    for name in ("w1", "w2"):
        engine.store.claim_worker(name, f"of {name}", {}, name, 60.0, lambda holder: False)
        said = fake_door.menu(Settings(data=fleet.data, device=name))
        engine.store.announce(name, f"of {name}", said)
    return engine


def _queue(engine: Any, run_id: str) -> str:
    jobs = jobs_table(engine.store.database)
    with engine.store.database.read() as session:
        found = sa.select(jobs.c.queue_name).where(jobs.c.workflow_uuid == run_id)
        return str(session.scalar(found))


def test_of_two_workers_that_want_one_run_one_gets_it_and_neither_gets_two(
    two: Any, fleet: Any
) -> None:
    first, second = Handing(two.store, "w1", "of w1"), Handing(two.store, "w2", "of w2")
    only = fleet.submit()
    assert (first.hand(), second.hand()) == (only, None)
    next_one, last = fleet.submit(), fleet.submit()
    assert first.hand() is None, "it has one already"
    assert second.hand() == next_one
    assert _queue(two, last) == "runs"
    assert two.store.run(only).state == "queued"


def test_who_waits_asks_the_database_little_and_takes_at_once_what_comes(
    two: Any, fleet: Any
) -> None:
    handing, database = Handing(two.store, "w1", "of w1"), two.store.database
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        asked.append(statement)

    for engine in {database.engine, database.reader}:
        sa.event.listen(engine, "before_cursor_execute", note)
    looks = 0
    for _ in range(5):
        assert handing.hand() is None
        looks += sum("EXISTS" in one for one in asked)
        asked.clear()
    assert looks == (1 if database.is_sqlite else 5), "one question, and none where none is needed"
    first, second = fleet.submit(), fleet.submit()
    assert handing.hand() == first
    assert handing.hand() is handing.hand() is None, "it has one already"
    two.cancel(first)
    assert handing.hand() == second
    for engine in {database.engine, database.reader}:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_a_worker_that_was_taken_for_dead_takes_nothing_and_what_it_had_is_given_back_once(
    two: Any, fleet: Any
) -> None:
    handing = Handing(two.store, "w1", "of w1")
    run_id = fleet.submit()
    assert handing.hand() == run_id
    assert _queue(two, run_id) == queue_of("w1")
    two.store.release_worker("w1", "of w1")
    assert two.store.adopt_dead("w2", 60.0) == ["w1"]
    assert give_back(two.store.database, ["w1"]) == [run_id]
    assert give_back(two.store.database, ["w1"]) == []
    assert handing.hand() is None
    with pytest.raises(Adopted):
        handing._take(Waiting(run_id, "", "localize", 1, 0.0, False))
    assert _queue(two, run_id) == "runs"
    assert Handing(two.store, "w2", "of w2").hand() == run_id


def test_a_run_that_a_killed_process_left_as_computed_is_handed_out_again_and_first(
    two: Any, fleet: Any
) -> None:
    handing = Handing(two.store, "w1", "of w1")
    run_id, waiting = fleet.submit(), fleet.submit()
    assert handing.hand() == run_id
    two.store.begin_attempt(run_id, "w1", "of w1")
    assert two.store.run(run_id).state == "loading"
    assert give_back(two.store.database, ["w1"]) == [run_id], "as the next process does at start"
    assert [handing.hand(), Handing(two.store, "w2", "of w2").hand()] == [run_id, waiting]


def test_a_run_that_was_cancelled_is_handed_to_nobody(two: Any, fleet: Any) -> None:
    run_id = fleet.submit()
    two.cancel(run_id)
    assert Handing(two.store, "w1", "of w1").hand() is None


def test_what_a_worker_cannot_do_is_left_to_one_that_can_and_turns_are_kept(
    two: Any, fleet: Any
) -> None:
    other = fake_door.menu(Settings(data=fleet.data, device="w2"))
    big = other.models[0].model_copy(update={"id": "big"})
    two.store.announce("w2", "of w2", other.model_copy(update={"models": (*other.models, big)}))
    for_w2 = two.submit(fleet.spec("big"))
    mine = two.submit(fleet.spec(), session="a")
    theirs = two.submit(fleet.spec(), session="b")
    first, second = Handing(two.store, "w1", "of w1"), Handing(two.store, "w2", "of w2")
    assert (first.hand(), second.hand()) == (mine, for_w2)
    assert two.store.run(theirs).state == "queued"
    assert give_back(two.store.database, ["w1", "w2"]) != []
    assert first.hand() == theirs, "session a has had its turn"
    two.store.announce("w1", "of w1", other.model_copy(update={"models": (big,)}))
    assert give_back(two.store.database, ["w1"]) == [theirs]
    assert first.hand() == for_w2, "what was announced anew is followed"


def test_a_job_of_a_newer_lethe_is_left_alone(two: Any, fleet: Any) -> None:
    run_id = fleet.submit()
    jobs = jobs_table(two.store.database)
    with two.store.database.write() as session:
        session.execute(sa.update(jobs).values(application_version="99"))
    handing = Handing(two.store, "w1", "of w1")
    assert handing.hand() is None
    with two.store.database.write() as session:
        session.execute(sa.update(jobs).values(queue_name=queue_of("w1")))
    assert give_back(two.store.database, ["w1"]) == []
    assert _queue(two, run_id) == queue_of("w1")


def test_of_one_persons_runs_no_more_are_handed_out_at_once_than_may_be(
    two: Any, fleet: Any
) -> None:
    settle(two.store)
    two.store.set_limits("max", Limits(running=1))
    first, second = Handing(two.store, "w1", "of w1"), Handing(two.store, "w2", "of w2")
    his = [two.submit(fleet.spec(), owner="max") for _ in range(2)]
    others = two.submit(fleet.spec(), owner="mia")
    assert first.hand() == his[0]
    assert two.store.run(his[0]).state == "queued", "what was handed counts before it begins"
    assert second.hand() == others
    two.cancel(others)
    assert second.hand() is None
    two.cancel(his[0])
    assert second.hand() == his[1]


def test_of_one_project_s_runs_no_more_are_handed_out_at_once_than_may_be(
    two: Any, fleet: Any
) -> None:
    settle(two.store)
    sports = two.store.make_project("Sports", "max").id
    two.store.set_project_limits(sports, Limits(running=1))
    first, second = Handing(two.store, "w1", "of w1"), Handing(two.store, "w2", "of w2")

    def submit(owner: str) -> str:
        acting = Acting(owner, may_all=True, project=sports)
        return str(two.of_session("", acting).submit(fleet.spec()))

    maxs, mias = submit("max"), submit("mia")
    assert first.hand() == maxs
    assert second.hand() is None
    two.cancel(maxs)
    assert second.hand() == mias


def test_a_halted_worker_takes_nothing_and_another_does(two: Any, fleet: Any) -> None:
    first, second = Handing(two.store, "w1", "of w1"), Handing(two.store, "w2", "of w2")
    run_id = fleet.submit()
    assert not first.holds()
    two.store.halt("w1", "paused", "ada")
    assert first.hand() is None
    assert not first._take(Waiting(run_id, "", "localize", 1, 0.0, False)), "told meanwhile"
    assert second.hand() == run_id and second.holds()
    waiting = fleet.submit()
    assert first.hand() is None
    two.store.resume("w1")
    assert first.hand() == waiting and first.holds()


def test_what_only_a_halted_worker_has_room_for_another_that_can_takes(
    two: Any, fleet: Any
) -> None:
    said = fake_door.menu(Settings(data=fleet.data, device="w1"))
    wide = said.models[0].model_copy(update={"memory_bytes": {"load": 1, "localize": 9}})
    for name, memory in (("w1", 50), ("w2", 5)):
        able = said.model_copy(update={"models": (wide,), "memory_bytes": memory})
        two.store.announce(name, f"of {name}", able)
    second = Handing(two.store, "w2", "of w2")
    run_id = fleet.submit()
    assert second.hand() is None, "it is left to w1, which has room"
    two.store.halt("w1", "paused", "ada")
    assert second.hand() == run_id
