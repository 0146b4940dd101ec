"""Takes over what dead workers left, and keeps runs and the queue's own history in step.

The open-source DBOS restarts a job only in a process with the id of the one that died. Here every
supervisor looks for workers whose heartbeat is old, or whose process was on this machine and is
gone, takes their generation away (so that they cannot begin an attempt when they wake), and moves
their jobs back to where all wait. Only jobs that still stand under the dead id are moved, so doing
it twice, or at the same time from two places, changes nothing, and an adopter that dies strands
nothing: the id is due again later.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from dbos import DBOSClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.contract.progress import FINAL_STATES, RunState
from worker.engine.holder import is_gone
from worker.engine.queue import COMPUTE_RUN, CONDUCT_STUDY
from worker.store.attempts import end_run
from worker.store.store import Store
from worker.store.tables import Run

log = logging.getLogger(__name__)
BATCH = 500
FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
ENDS: dict[str, tuple[RunState, str]] = {
    "CANCELLED": ("cancelled", "Cancelled."),
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": ("failed", "It was started too often without an end."),
    "ERROR": ("failed", "The worker could not write the run's end; its log says why."),
    "SUCCESS": ("failed", "The worker gave the run up without an end; its log says why."),
    "": ("failed", "Its job is no longer in the queue."),
}


class Requeue(Protocol):
    def __call__(self, workers: list[str]) -> Sequence[object]: ...


def adopt(store: Store, worker: str, stale_seconds: float, requeue: Requeue) -> list[str]:
    """Give the runs of dead workers back to the queue; return the dead workers' ids."""
    dead = store.adopt_dead(worker, stale_seconds, is_gone=is_gone)
    given_back = requeue(dead) if dead else ()
    if given_back:
        log.info("%s gave back %d jobs of %s", worker, len(given_back), ", ".join(dead))
    return dead


def settle(store: Store, client: DBOSClient) -> int:
    """End the runs whose jobs have ended without them; return how many."""
    with store.database.read() as session:
        ids = list(session.scalars(select(Run.id).where(Run.state.not_in(FINAL_STATES))))
    if not ids:
        return 0
    jobs = client.list_workflows(workflow_ids=ids, load_input=False, load_output=False)
    states = {job.workflow_id: job.status for job in jobs}
    over = {id: states.get(id, "") for id in ids if states.get(id, "") in ENDS}
    with store.database.write() as session:
        return sum(_end(session, id, *ENDS[status]) for id, status in over.items())


def end_orphans(store: Store, cancel: Callable[[str], None]) -> int:
    """Cancel what a study asked for that has failed or was cancelled; return how many."""
    ids = store.orphans()
    for id in ids:
        cancel(id)
    return len(ids)


def forget(client: DBOSClient, keep_seconds: float) -> int:
    """Delete jobs that ended so long ago from the queue's own history; the runs stay."""
    before = datetime.now(UTC) - timedelta(seconds=keep_seconds)
    jobs = client.list_workflows(
        status=FINISHED,
        completed_before=before.isoformat(),
        name=[COMPUTE_RUN, CONDUCT_STUDY],
        limit=BATCH,
        load_input=False,
        load_output=False,
    )
    if jobs:
        client.delete_workflows([job.workflow_id for job in jobs])
    return len(jobs)


def _end(session: Session, id: str, state: RunState, message: str) -> bool:
    still_open = (
        select(Run.id).where(Run.id == id, Run.state.not_in(FINAL_STATES)).with_for_update()
    )
    if session.scalar(still_open) is None:
        return False
    end_run(session, id, state, message)
    return True
