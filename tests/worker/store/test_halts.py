"""Workers that are told to take no new run: who told them, since when, and for which process."""

import pytest

from tests.worker.store.several import as_
from tests.worker.store.test_workers import claim, says
from worker.contract.errors import Forbidden, NotFound
from worker.store.halts import words_of
from worker.store.store import Store


def test_who_paused_a_worker_stands_in_the_database_until_it_is_resumed(store: Store) -> None:
    claim(store, "w1")
    claim(store, "w2")
    store.halt("w1", "paused", "ada")
    told = {worker.id: worker.halt for worker in store.workers()}
    assert told["w2"] is None and told["w1"] is not None
    assert words_of({"w1": told["w1"]}) == {"w1": "is paused by ada"}
    assert told["w1"].at >= store.workers()[0].started
    store.halt("w1", "drained", "bo")
    assert words_of(store.halts()) == {"w1": "is drained by bo"}
    store.resume("w1")
    store.resume("w1")
    assert store.halts() == {}


def test_a_worker_that_restarts_under_its_name_stays_paused_even_when_it_was_forgotten(
    store: Store,
) -> None:
    claim(store, "w1")
    store.halt("w1", "paused", "ada")
    store.release_worker("w1", "of w1")
    claim(store, "last")
    store.announce("last", "of last", says("cpu"))
    assert store.forget_workers(-1.0) == ["w1"]
    claim(store, "w1")
    assert [worker.halt is not None for worker in store.workers() if worker.id == "w1"] == [True]
    store.release_worker("w1", "of w1")
    assert store.forget_workers(-1.0) == ["w1"]
    store.resume("w1")
    assert store.halts() == {}


def test_only_the_process_that_was_told_to_end_ends(store: Store) -> None:
    claim(store, "w1")
    store.halt("w1", "paused", "ada")
    assert store.drained("w1") is None
    store.halt("w1", "drained", "ada")
    order = store.drained("w1")
    assert order is not None and order.by == "ada"
    store.release_worker("w1", "of w1")
    claim(store, "w1")
    assert store.drained("w1") is None, "the next process is paused, and is not ended again"
    assert set(store.halts()) == {"w1"}


def test_only_admins_halt_workers_and_only_those_that_there_are(store: Store) -> None:
    claim(store, "w1")
    member = as_(store, "max")
    for refused in (lambda: member.halt("w1", "paused", "max"), lambda: member.resume("w1")):
        with pytest.raises(Forbidden, match="for admins"):
            refused()
    for named in (lambda: store.halt("w2", "paused", "ada"), lambda: store.resume("w2")):
        with pytest.raises(NotFound, match=r"No worker .w2.\. There are: w1\."):
            named()
    assert store.halts() == {}
