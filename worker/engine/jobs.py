"""A supervisor's side of DBOS: takes runs from the queue, and keeps queue and runs in step."""

from collections.abc import Callable
from functools import partial

from dbos import DBOS

from worker.contract.logs import about
from worker.engine import reaper
from worker.engine.handing import Handing, give_back
from worker.engine.queue import (
    COMPUTE_RUN,
    CONDUCT_STUDY,
    MAX_DISPATCHES,
    STUDIES,
    configuration,
    open_client,
    prepare,
    queue_of,
    register_queues,
)
from worker.engine.timing import Timing
from worker.store.store import Store


class Jobs:
    """The jobs of the worker `worker`: one call of `compute` or `conduct` with the run's id."""

    def __init__(
        self,
        store: Store,
        worker: str,
        generation: str,
        timing: Timing,
        *,
        compute: Callable[[str], None],
        conduct: Callable[[str], None],
        cancel: Callable[[str], None],
    ) -> None:
        self._store, self._worker, self._timing = store, worker, timing
        self._compute, self._conduct, self._cancel = compute, conduct, cancel
        prepare(store.database)
        self._client = open_client(store.database)
        register_queues(self._client, 2 * timing.poll, worker)
        self._handing = Handing(store, worker, generation)

    def take(self) -> None:
        """Take jobs from now on; those that this id left unfinished wait with all others again."""
        give_back(self._store.database, [self._worker])
        DBOS(config=configuration(self._store.database, self._worker))

        @DBOS.workflow(name=COMPUTE_RUN, max_recovery_attempts=MAX_DISPATCHES)
        def compute_run(run_id: str) -> None:
            with about(run=run_id):
                self._compute(run_id)

        @DBOS.workflow(name=CONDUCT_STUDY, max_recovery_attempts=MAX_DISPATCHES)
        def conduct_study(run_id: str) -> None:
            with about(run=run_id):
                self._conduct(run_id)

        DBOS.listen_queues([queue_of(self._worker), STUDIES])
        DBOS.launch()

    def hand(self) -> bool:
        """Give this worker the next run that it can do, if it has none; whether there was one.

        Raises Adopted.
        """
        return self._handing.hand() is not None

    def holds(self) -> bool:
        """Whether this worker computes a run, or was handed one."""
        return self._handing.holds()

    def look_after(self) -> None:
        """Give dead workers' jobs back to the queue, and end runs whose jobs or studies ended."""
        stale = self._timing.stale
        reaper.adopt(self._store, self._worker, stale, partial(give_back, self._store.database))
        reaper.settle(self._store, self._client)
        reaper.end_orphans(self._store, self._cancel)

    def forget(self) -> None:
        """Delete old finished jobs, and workers that were not heard of for as long."""
        reaper.forget(self._client, self._timing.keep_jobs)
        for worker in self._store.forget_workers(self._timing.keep_jobs):
            self._client.delete_queue(queue_of(worker))
