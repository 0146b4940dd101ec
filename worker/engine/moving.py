"""Moves a run that waits to another worker, or back to whoever can."""

import sqlalchemy as sa

from worker.contract.ability import demands, hindrances
from worker.contract.base import unknown
from worker.contract.errors import Conflict, Forbidden, UserError
from worker.contract.progress import Event
from worker.contract.records import RunRecord
from worker.contract.spec import parse_spec
from worker.engine.queue import COMPUTE_RUN, RUNS, jobs_table
from worker.store.attempts import add_events
from worker.store.store import Store
from worker.store.tables import Run
from worker.store.turns import WAITS


def move(store: Store, run_id: str, worker: str, by: str) -> None:
    """Leave a run that waits to one worker, or with an empty name to any that can.

    One that stood before another worker already waits with all others again. The worker takes it
    when its turn comes, and any other does when that one dies or can no longer do it. Raises
    NotFound, Conflict for a run that is computed or over, UserError for a worker that cannot.
    """
    if not store.acting.may_all:
        raise Forbidden("Runs are for admins to move between workers. Ask an admin.")
    record = store.run(run_id)
    if record.kind == "study":
        raise Conflict(
            f"The study {run_id} takes no device, so no worker is chosen for it; move its runs."
        )
    if record.state not in WAITS:
        raise Conflict(
            f"Run {run_id} is {record.state}; expected one that waits. To have it computed "
            f"elsewhere, cancel it and run it again."
        )
    if worker:
        _check(store, record, worker)
    jobs = jobs_table(store.database)
    waits = jobs.c.name == COMPUTE_RUN, jobs.c.status == "ENQUEUED"
    back = sa.update(jobs).where(jobs.c.workflow_uuid == run_id, *waits).values(queue_name=RUNS)
    with store.database.write() as session:
        if session.execute(back.returning(jobs.c.workflow_uuid)).first() is None:
            raise Conflict(
                f"Run {run_id} is with a worker, which is about to begin it or was stopped with "
                f"it; look again in a few seconds."
            )
        session.execute(sa.update(Run).where(Run.id == run_id).values(moved_to=worker))
        words = f"Moved to {worker or 'any worker that can'} by {by}."
        add_events(session, run_id, [Event(type="log", message=words)])
    store.acting.tell(f"run {run_id} to {worker or 'any worker'}")


def _check(store: Store, record: RunRecord, worker: str) -> None:
    """Raise UserError for a worker that is not alive, or that cannot compute the run."""
    menus = store.menus()
    if worker not in menus:
        raise UserError(
            unknown("worker that is alive and ready", worker[:100], sorted(menus)).message,
            field="worker",
        )
    for demand in demands(parse_spec(record.spec)):
        for field, words in hindrances(demand, menus[worker]):
            raise UserError(
                f"The worker {worker} cannot compute run {record.id}: it {words} ({field}). "
                f"Choose another one; the run waits on as before.",
                field="worker",
            )
