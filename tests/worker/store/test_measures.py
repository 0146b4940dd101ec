"""The store in numbers."""

import sqlalchemy as sa

from tests.worker.store.test_runs import add, claim, finished
from worker.contract.menu import Announcement
from worker.store.measures import BOUNDS, Measures, measure
from worker.store.store import Store
from worker.store.tables import Run


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert measure(store.database) == Measures()


def test_runs_are_counted_by_what_they_wait_for_how_they_ended_and_what_they_took(
    store: Store,
) -> None:
    claim(store)
    ids = [finished(store) for _ in range(3)]
    with store.database.write() as session:
        for id, seconds in zip(ids, (0.5, 5.0, 100.0), strict=True):
            took = {"started": 1000.0, "finished": 1000.0 + seconds}
            session.execute(sa.update(Run).where(Run.id == id).values(**took))
    waits = [add(store), add(store)]
    with store.database.write() as session:
        session.execute(sa.update(Run).where(Run.id == waits[0]).values(created=Run.created - 50.0))
    found = measure(store.database)
    n, oldest = found.waiting["localize"]
    assert n == 2 and 50 <= oldest < 500
    assert found.states == {"done": 3, "queued": 2}
    took = found.took["localize"]
    assert (took.n, took.seconds) == (3, 105.5)
    assert took.within == tuple(sum(s <= bound for s in (0.5, 5.0, 100.0)) for bound in BOUNDS)


def test_workers_are_counted_while_their_heart_beats(store: Store) -> None:
    claim(store, "w1")
    claim(store, "w2")
    store.announce(
        "w1", "g1", Announcement(models=(), methods=(), fact_sets=(), device="cpu", versions={})
    )
    store.halt("w2", "drained", "ada")
    found = measure(store.database)
    assert (found.workers_alive, found.workers_ready, found.workers_paused) == (2, 1, 1)
    store.release_worker("w1", "g1")
    found = measure(store.database)
    assert (found.workers_alive, found.workers_ready) == (1, 0)
