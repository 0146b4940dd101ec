"""What a worker writes of a run, and who may not."""

import pytest
import sqlalchemy as sa

from tests.worker.store.test_runs import a_result, add, claim
from worker.contract.menu import Announcement
from worker.contract.progress import Event
from worker.contract.spec import parse_spec
from worker.store.attempts import MAX_CRASHES, Adopted, Fenced
from worker.store.store import Store
from worker.store.tables import Run

LINE = Event(type="log", message="a line")


def begin(store: Store, run_id: str) -> int:
    attempt = store.begin_attempt(run_id, "w1", "g1")
    assert attempt is not None
    return attempt.number


def states(store: Store, run_id: str) -> list[tuple[str, str]]:
    events = [event for _, event in store.events(run_id) if event.type == "state"]
    return [(event.state or "", event.message) for event in events]


def test_events_of_an_attempt_change_the_run_and_are_numbered_without_gaps(store: Store) -> None:
    claim(store)
    run_id = add(store)
    attempt = store.begin_attempt(run_id, "w1", "g1").number
    told = [
        Event(type="state", state="running"),
        Event(type="progress", fraction=0.5, message="layer 3 of 6", seconds_left=2.0),
        Event(type="log", message="a line"),
    ]
    store.append(run_id, attempt, told)
    record = store.run(run_id)
    assert (record.state, record.fraction, record.message) == ("running", 0.5, "layer 3 of 6")
    assert record.seconds_left == 2.0
    assert store.events(run_id, after=1) == list(enumerate(told, start=2))
    assert store.log(run_id) == ["a line"]
    store.finish(run_id, attempt, "done", result=a_result())
    record = store.run(run_id)
    assert (record.state, record.fraction, record.has_result) == ("done", 1.0, True)
    assert store.events(run_id)[-1] == (5, Event(type="state", state="done"))


def test_an_older_attempt_can_write_nothing(store: Store) -> None:
    claim(store)
    run_id = add(store)
    old = store.begin_attempt(run_id, "w1", "g1").number
    new = store.begin_attempt(run_id, "w1", "g1").number
    before = store.events(run_id)
    for write in (
        lambda: store.append(run_id, old, [Event(type="log", message="ghost")]),
        lambda: store.finish(run_id, old, "done", result=a_result()),
        lambda: store.interrupt(run_id, old, "ghost", crashed=True),
        lambda: store.scale_batch(run_id, old, 0.5),
        lambda: store.is_cancel_requested(run_id, old),
    ):
        with pytest.raises(Fenced):
            write()
    assert store.events(run_id) == before and store.result(run_id) is None
    store.finish(run_id, new, "failed", "why")
    with pytest.raises(Fenced):
        store.append(run_id, new, [Event(type="log", message="too late")])
    assert store.begin_attempt(run_id, "w1", "g1") is None


def test_the_third_crash_fails_a_run(store: Store) -> None:
    claim(store)
    run_id = add(store)
    for crash in range(3):
        attempt = store.begin_attempt(run_id, "w1", "g1").number
        again = store.interrupt(run_id, attempt, "It died.", crashed=True)
        assert again is (crash < 2)
    record = store.run(run_id)
    assert (record.state, record.message) == ("failed", "It died. It was tried 3 times.")


def test_an_attempt_takes_a_run_with_all_that_its_tries_need(store: Store) -> None:
    claim(store)
    run_id = add(store, browser="b1")
    store.update_run(run_id, title="kept")
    attempt = store.begin_attempt(run_id, "w1", "g1")
    assert attempt is not None
    assert (attempt.run_id, attempt.number, attempt.crashes) == (run_id, 1, 0)
    assert (attempt.batch_scale, attempt.session) == (1.0, "b1")
    assert attempt.spec == parse_spec(store.run(run_id).spec)
    record = store.run(run_id)
    assert (record.state, record.worker, record.message) == ("loading", "w1", "")
    assert record.started is not None and record.finished is None
    assert [worker.run for worker in store.workers()] == [run_id]
    assert states(store, run_id) == [("queued", ""), ("loading", "")]
    store.scale_batch(run_id, 1, 0.5)
    told = [Event(type="progress", fraction=0.7, seconds_left=3.0), LINE]
    assert store.interrupt(run_id, 1, "No memory.", crashed=False, log=told[1:])
    again = store.begin_attempt(run_id, "w1", "g1")
    assert again is not None
    assert (again.number, again.batch_scale, again.crashes) == (2, 0.5, 0)
    assert store.run(run_id).started == record.started, "it began when it first did"
    assert states(store, run_id)[2:] == [("interrupted", "No memory."), ("loading", "")]
    assert store.log(run_id) == ["a line"]


def test_a_run_whose_worker_died_is_told_so_and_starts_from_nothing(store: Store) -> None:
    claim(store)
    run_id = add(store)
    told = [Event(type="state", state="running"), Event(type="progress", fraction=0.7)]
    store.append(run_id, begin(store, run_id), told)
    assert store.run(run_id).fraction == 0.7
    again = store.begin_attempt(run_id, "w1", "g1")
    assert again is not None and again.crashes == 1
    record = store.run(run_id)
    assert (record.fraction, record.seconds_left, record.attempt) == (0.0, None, 2)
    assert states(store, run_id)[-2:] == [
        ("interrupted", "The worker died; started again."),
        ("loading", ""),
    ]


def test_a_run_under_which_the_worker_died_too_often_is_begun_no_more(store: Store) -> None:
    claim(store)
    run_id = add(store)
    for _ in range(MAX_CRASHES + 1):
        begin(store, run_id)
    assert store.begin_attempt(run_id, "w1", "g1") is None
    record = store.run(run_id)
    assert record.state == "failed"
    assert record.message == "The worker died 3 times while it computed this run."
    assert record.finished is not None
    assert record.fraction == 0.0, "what failed is not done"


def test_a_run_that_was_asked_to_stop_is_cancelled_instead_of_begun(store: Store) -> None:
    claim(store)
    run_id = add(store)
    number = begin(store, run_id)
    assert not store.is_cancel_requested(run_id, number)
    with store.database.write() as session:
        session.execute(sa.update(Run).where(Run.id == run_id).values(cancel_requested=1.0))
    assert store.is_cancel_requested(run_id, number)
    assert store.begin_attempt(run_id, "w1", "g1") is None
    assert states(store, run_id)[-1] == ("cancelled", "Cancelled.")
    with pytest.raises(Fenced):
        store.is_cancel_requested(run_id, number + 1)
    with pytest.raises(Fenced):
        store.is_cancel_requested("gone", 1)


def test_beginning_a_run_is_a_heartbeat_of_the_worker_that_holds_it(store: Store) -> None:
    claim(store)
    said = Announcement(methods=(), models=(), fact_sets=(), device="cpu")
    store.announce("w1", "g1", said)
    with store.database.write() as session:
        session.execute(sa.text("UPDATE workers SET heartbeat = heartbeat - 100"))
    assert not store.workers()[0].alive
    run_id = add(store)
    begin(store, run_id)
    [worker] = store.workers()
    assert (worker.alive, worker.run) == (True, run_id)
    with pytest.raises(Adopted):
        store.begin_attempt(run_id, "w1", "g2")


def test_the_last_events_come_before_the_end_and_a_progress_may_say_little(store: Store) -> None:
    claim(store)
    run_id = add(store)
    number = begin(store, run_id)
    store.append(run_id, number, [])
    store.append(run_id, number, [Event(type="progress", fraction=0.5, seconds_left=9.0)])
    store.append(run_id, number, [Event(type="progress", message="on")])
    record = store.run(run_id)
    assert (record.fraction, record.message, record.seconds_left) == (0.0, "on", None)
    before = [LINE, Event(type="progress", fraction=0.9, seconds_left=1.0)]
    store.finish(run_id, number, "failed", "It failed.", before=before)
    record = store.run(run_id)
    assert (record.state, record.message, record.fraction) == ("failed", "It failed.", 0.9)
    assert (record.seconds_left, record.has_result) == (None, False)
    assert [event.type for _, event in store.events(run_id)][-3:] == ["log", "progress", "state"]
    assert [offset for offset, _ in store.events(run_id)] == list(range(7))
