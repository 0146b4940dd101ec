"""What workers said they can do, and why there may be nothing yet."""

import pytest

from tests.app.conftest import announcement
from worker.engine.announced import NoWorker, WorkerBusy, announced
from worker.store.store import Store


def start(store: Store, id: str, device: str = "cpu") -> None:
    store.claim_worker(id, "g", {}, device, 1e9, lambda holder: True)


def test_before_any_worker_it_says_how_to_start_one(store: Store) -> None:
    with pytest.raises(NoWorker, match="Start one with `lethe worker`") as error:
        announced(store)
    assert not isinstance(error.value, WorkerBusy)


def test_while_the_first_worker_starts_it_is_worth_another_try(store: Store) -> None:
    start(store, "a:cpu")
    with pytest.raises(WorkerBusy, match="The worker is starting"):
        announced(store)
    store.beat("a:cpu", "g", problem="The folder 'odd' ends it.")
    with pytest.raises(NoWorker, match="does not get ready") as error:
        announced(store)
    assert not isinstance(error.value, WorkerBusy)


def test_what_was_announced_holds_though_another_worker_starts(store: Store) -> None:
    start(store, "a:cpu")
    store.announce("a:cpu", "g", announcement())
    start(store, "b:cpu")
    assert announced(store).models == announcement().models
    assert announced(store, store.menus()).models == announcement().models
