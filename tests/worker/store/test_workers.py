import pytest
import sqlalchemy as sa

from worker.contract.menu import Announcement
from worker.contract.merging import merge
from worker.store import workers
from worker.store.store import Store


def claim(store: Store, id: str) -> None:
    store.claim_worker(id, f"of {id}", {}, "cpu", 60.0, lambda holder: False)


def says(device: str) -> Announcement:
    return Announcement(methods=(), models=(), fact_sets=(), device=device)


def silence(store: Store, id: str) -> None:
    with store.database.write() as session:
        old = sa.text("UPDATE workers SET heartbeat = heartbeat - 100 WHERE id = :id")
        session.execute(old, {"id": id})


def test_a_worker_is_alive_while_its_heart_beats_and_ready_once_it_has_announced(
    store: Store,
) -> None:
    claim(store, "w1")
    assert [(w.id, w.alive, w.ready) for w in store.workers()] == [("w1", True, False)]
    store.announce("w1", "of w1", says("cuda:0"))
    store.beat("w1", "of w1", run="12ab", problem="hot")
    [worker] = store.workers()
    assert (worker.ready, worker.run, worker.problem) == (True, "12ab", "hot")
    assert worker.announcement == says("cuda:0")
    silence(store, "w1")
    [worker] = store.workers()
    assert (worker.alive, worker.ready, worker.run) == (False, False, "")


def test_live_workers_speak_together_and_the_last_known_one_when_nobody_is_alive(
    store: Store,
) -> None:
    assert (store.announcement(), store.menus()) == (None, {})
    claim(store, "w1")
    claim(store, "w2")
    store.announce("w1", "of w1", says("cpu"))
    store.announce("w2", "of w2", says("cuda"))
    assert store.announcement() == merge([says("cpu"), says("cuda")])
    assert store.menus() == {"w1": says("cpu"), "w2": says("cuda")}
    silence(store, "w2")
    assert store.announcement() == says("cpu")
    silence(store, "w1")
    assert store.announcement() == says("cuda"), "the last known"
    assert store.menus() == {}


def test_a_worker_that_cannot_start_speaks_only_where_no_other_can(store: Store) -> None:
    for id in ("w1", "w2"):
        claim(store, id)
        store.announce(id, f"of {id}", says(id))
    store.claim_worker("w1", "again", {}, "cpu", 60.0, lambda holder: True)
    assert set(store.menus()) == {"w1", "w2"}, "one that starts is counted on"
    stamp = store.menus_stamp()
    store.beat("w1", "again", problem="no device here")
    assert set(store.menus()) == {"w2"}
    assert store.menus_stamp() != stamp
    silence(store, "w2")
    assert set(store.menus()) == {"w1"}


def test_announcements_are_told_apart_however_coarse_the_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(store, "w1")
    monkeypatch.setattr(workers, "database_time", lambda: sa.literal(1e9))
    stamps = []
    for device in ("cpu", "cuda:0", "cuda:1"):
        store.announce("w1", "of w1", says(device))
        with store.database.read() as session:
            stamps.append(session.scalar(sa.text("SELECT announced FROM workers")))
    assert stamps[0] == 1e9 and stamps[0] < stamps[1] < stamps[2] < 1e9 + 1


def test_a_worker_that_beats_is_adopted_by_nobody(store: Store) -> None:
    claim(store, "w1")
    assert store.adopt_dead("w2", 60.0) == []
    assert store.adopt_dead("w1", 60.0, is_gone=lambda holder: True) == [], "never by itself"
    assert store.adopt_dead("w2", 60.0, is_gone=lambda holder: True) == ["w1"]


def test_workers_long_silent_are_forgotten_but_for_the_last_announcement(store: Store) -> None:
    for id in ("w1", "w2", "w3"):
        claim(store, id)
    store.announce("w1", "of w1", says("cpu"))
    silence(store, "w1")
    silence(store, "w2")
    assert store.forget_workers(50) == ["w2"]
    assert {worker.id for worker in store.workers()} == {"w1", "w3"}


def test_only_live_and_ready_workers_answer_questions_idle_ones_first(store: Store) -> None:
    for id in ("w1", "w2", "w3", "w4"):
        claim(store, id)
        store.beat(id, f"of {id}", address=f"http://{id}", token="t", run="")
        if id != "w4":
            store.announce(id, f"of {id}", says("cpu"))
    store.beat("w1", "of w1", run="12ab")
    silence(store, "w3")
    assert [lane.address for lane in store.lanes()] == ["http://w2", "http://w1"]
