"""A supervisor's side of DBOS: takes runs from the queue, and keeps queue and runs in step."""

from collections.abc import Callable

from dbos import DBOS

from worker.engine import reaper
from worker.engine.queue import (
    MAX_DISPATCHES,
    QUEUE,
    WORKFLOW,
    configuration,
    open_client,
    prepare,
    register_queue,
)
from worker.engine.timing import Timing
from worker.store.store import Store


class Jobs:
    """The jobs of the worker `worker`; each is one call of `carry_out` with the run's id."""

    def __init__(
        self, store: Store, worker: str, timing: Timing, carry_out: Callable[[str], None]
    ) -> None:
        self._store, self._worker, self._timing = store, worker, timing
        self._carry_out = carry_out
        prepare(store.database)
        self._client = open_client(store.database)
        register_queue(self._client, timing.poll)

    def take(self) -> None:
        """Take jobs from now on: first those that this worker's id left unfinished."""
        DBOS(config=configuration(self._store.database, self._worker))

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MAX_DISPATCHES)
        def compute_run(run_id: str) -> None:
            self._carry_out(run_id)

        DBOS.listen_queues([QUEUE])
        DBOS.launch()

    def look_after(self) -> None:
        """Give dead workers' jobs back to the queue, and end runs whose jobs have ended."""
        stale = self._timing.stale
        reaper.adopt(self._store, self._worker, stale, DBOS._recover_pending_workflows)
        reaper.settle(self._store, self._client)

    def forget(self) -> None:
        """Delete old finished jobs."""
        reaper.forget(self._client, self._timing.keep_jobs)
