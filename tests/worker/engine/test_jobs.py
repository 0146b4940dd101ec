"""A supervisor's side of the queue, without its process: what is taken, given back and forgotten.

DBOS is made and not launched; `test_supervisor.py` launches it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from tests.worker.engine import fake_door
from tests.worker.engine.test_client import SPEC, job
from worker.contract.settings import Settings
from worker.engine import jobs, reaper
from worker.engine.client import Engine
from worker.engine.jobs import Jobs
from worker.engine.queue import MAX_DISPATCHES, queue_of
from worker.engine.timing import Timing

TIMING = Timing(poll=0.02, keep_jobs=3600.0)


class Calls:
    """Notes what a job calls, with the run's id."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        def call(run_id: str) -> None:
            self.made.append((name, run_id))

        return call


def open_jobs(engine: Engine, calls: Calls, worker: str = "w1") -> Jobs:
    """Announce a worker that can do all, and open its jobs."""
    engine.store.claim_worker(worker, f"of {worker}", {}, worker, 60.0, lambda holder: False)
    said = fake_door.menu(Settings(data=Path("nowhere"), device=worker))
    engine.store.announce(worker, f"of {worker}", said)
    return Jobs(
        engine.store,
        worker,
        f"of {worker}",
        TIMING,
        compute=calls.compute,
        conduct=calls.conduct,
        cancel=calls.cancel,
    )


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What is registered under each name, and with what else; nothing is launched."""
    found: dict[str, Any] = {}

    def workflow(name: str, **more: Any) -> Callable[[Callable[[str], None]], None]:
        def register(function: Callable[[str], None]) -> None:
            found[name] = function, more

        return register

    monkeypatch.setattr(jobs.DBOS, "workflow", workflow)
    for name in ("listen_queues", "launch"):
        monkeypatch.setattr(jobs.DBOS, name, lambda *given, name=name: found.update({name: given}))
    yield found
    DBOS.destroy()


def test_a_job_calls_what_computes_it_and_nothing_else(
    engine: Engine, calls: Calls, registered: dict[str, Any]
) -> None:
    open_jobs(engine, calls).take()
    (compute, limits), (conduct, others) = registered["compute_run"], registered["conduct_study"]
    assert limits == others == {"max_recovery_attempts": MAX_DISPATCHES}
    compute("r1")
    conduct("s1")
    assert calls.made == [("compute", "r1"), ("conduct", "s1")]
    assert registered["listen_queues"] == ([queue_of("w1"), "studies"],)
    assert list(registered)[-1] == "launch", "nothing is taken before all is registered"


def test_what_this_worker_left_unfinished_waits_with_all_others_again(
    engine: Engine, calls: Calls, registered: dict[str, Any]
) -> None:
    run = engine.submit(SPEC)
    own = open_jobs(engine, calls)
    made = {queue.name for queue in own._client.list_queues()}
    assert made == {queue_of("w1"), "studies"}
    poll = {queue.name: queue.polling_interval_sec for queue in own._client.list_queues()}
    assert poll == {queue_of("w1"): 2 * TIMING.poll, "studies": 4 * TIMING.poll}
    own.hand()
    assert job(engine, run)[0] == queue_of("w1")
    own.hand()
    assert job(engine, run)[0] == queue_of("w1"), "it has one already"
    own.take()
    assert job(engine, run)[0] == "runs"
    own.hand()
    assert job(engine, run)[0] == queue_of("w1")


def test_looking_after_gives_back_settles_and_ends_with_this_workers_times(
    engine: Engine, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = open_jobs(engine, calls)
    done: list[tuple[str, tuple[Any, ...]]] = []
    for name in ("adopt", "settle", "end_orphans"):
        monkeypatch.setattr(reaper, name, lambda *given, name=name: done.append((name, given)))
    own.look_after()
    assert [name for name, _ in done] == ["adopt", "settle", "end_orphans"]
    store, worker, stale, give = done[0][1]
    assert (store, worker, stale) == (engine.store, "w1", TIMING.stale)
    assert give(["nobody"]) == []
    assert done[1][1][0] is engine.store
    done[2][1][1]("r1")
    assert calls.made == [("cancel", "r1")]


def test_old_jobs_and_the_queues_of_workers_that_are_gone_are_forgotten(
    engine: Engine, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = open_jobs(engine, calls)
    open_jobs(engine, calls, "w2")
    forgotten: list[Any] = []
    monkeypatch.setattr(reaper, "forget", lambda client, keep: forgotten.append(keep))
    monkeypatch.setattr(type(engine.store), "forget_workers", lambda store, keep: ["w2", str(keep)])
    monkeypatch.setattr(own._client, "delete_queue", forgotten.append)
    own.forget()
    assert forgotten == [3600.0, queue_of("w2"), queue_of("3600.0")]
