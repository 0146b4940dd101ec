"""Hands a free worker the next run, and takes back what a dead one had.

Runs wait in a queue to which nobody listens. A worker that is free takes, in the order of turns,
the first that is its to take, and moves its job into its own queue, from which DBOS starts it: one
conditional update, so that of two workers that want the same run one gets it. A dead worker's jobs
are moved back, whether they had begun or not.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from worker.contract.ability import takers
from worker.contract.menu import Announcement
from worker.contract.progress import RunState
from worker.contract.spec import parse_spec
from worker.engine.queue import CONDUCT_STUDY, RUNS, STUDIES, VERSION, jobs_table, queue_of
from worker.store.attempts import Adopted
from worker.store.changes import Changes
from worker.store.database import Database
from worker.store.halts import is_halted
from worker.store.limits import at_their_limit, most_running
from worker.store.store import Store
from worker.store.tables import Run, WorkerRow, database_time
from worker.store.taking import Taker, takers_of
from worker.store.turns import Waiting, in_turn, served, waiting

OPEN: tuple[RunState, ...] = ("queued", "interrupted", "loading", "running")
"""The states of a run that has not ended."""


class Handing:
    """Hands runs to the worker `worker`, whose row `generation` holds."""

    def __init__(self, store: Store, worker: str, generation: str) -> None:
        self._store, self._worker, self._generation = store, worker, generation
        self._jobs = jobs_table(store.database)
        self._changes = Changes(store.database)
        self._idle: object = None
        """The database's mark at which there was nothing to take; None where there was."""
        self._stamp: object = None
        self._menus: Mapping[str, Announcement] = {}
        self._halted: frozenset[str] = frozenset()
        self._mine: dict[tuple[str, str], bool] = {}
        """Run and to whom it was moved -> whether it is this worker's to take, as long as nobody
        announces anew, is halted or resumed."""

    def hand(self) -> str | None:
        """Move the next run that is its to take into the worker's queue; its id, None if there is
        none or the worker has one already. Raises Adopted.

        Nothing is looked for again where nothing was written since nothing was found.
        """
        mark = self._changes.mark()
        if mark is not None and mark == self._idle:
            return None
        taken = self._hand()
        self._idle = mark if taken is None else None
        return taken

    def _hand(self) -> str | None:
        with self._store.database.read() as session:
            if not self._is_free(session) or not (queued := self._queued(session)):
                return None
        self._follow_menus(queued)
        runs = [run for run in queued if self._is_mine(run)]
        if not runs:
            return None
        with self._store.database.read() as session:
            order = in_turn(runs, served(session, (run.session for run in runs)))
            full = at_their_limit(session, [one for run in runs for one in _takers(run)])
        taken = (run for run in order if full.isdisjoint(_takers(run)) and self._take(run))
        return next((run.id for run in taken), None)

    def holds(self) -> bool:
        """Whether the worker has a run: one that it computes, or that it was handed."""
        with self._store.database.read() as session:
            return session.scalar(sa.select(sa.exists().where(self._held()))) or False

    def _is_free(self, session: Session) -> bool:
        """Whether a job waits and the worker has none, in one question."""
        waits = (self._jobs.c.queue_name == RUNS) & (self._jobs.c.status == "ENQUEUED")
        free = sa.exists().where(waits) & ~sa.exists().where(self._held())
        return session.scalar(sa.select(free)) or False

    def _held(self) -> sa.ColumnElement[bool]:
        c = self._jobs.c
        return (c.queue_name == queue_of(self._worker)) & c.status.in_(("ENQUEUED", "PENDING"))

    def _queued(self, session: Session) -> list[Waiting]:
        """The runs of which the job waits.

        A run may still stand as computed: by this worker's process before, which was killed.
        """
        c = self._jobs.c
        ours = sa.or_(c.application_version.is_(None), c.application_version == VERSION)
        query = sa.select(c.workflow_uuid).where(c.status == "ENQUEUED", c.queue_name == RUNS, ours)
        ids = set(session.scalars(query))
        return [run for run in waiting(session, OPEN) if run.id in ids] if ids else []

    def _follow_menus(self, queued: Sequence[Waiting]) -> None:
        """Read what the workers announced anew, and who takes nothing, where that has changed."""
        halted = frozenset(self._store.halts())
        stamp = self._store.menus_stamp(), halted
        if stamp != self._stamp:
            self._menus, self._mine = self._store.menus(), {}
            self._stamp, self._halted = stamp, halted
        asked = {(run.id, run.moved_to) for run in queued}
        self._mine = {key: mine for key, mine in self._mine.items() if key in asked}

    def _is_mine(self, run: Waiting) -> bool:
        key = run.id, run.moved_to
        if key not in self._mine:
            with self._store.database.read() as session:
                data = session.scalar(sa.select(Run.spec).where(Run.id == run.id))
            if data is None:
                return False
            may = takers(parse_spec(data), self._menus, self._halted, run.moved_to)
            self._mine[key] = self._worker in may
        return self._mine[key]

    def _take(self, run: Waiting) -> bool:
        """Move a job that still waits into the worker's queue; False when it does not, when the
        worker was halted, or when so many runs of its owner's or project's are computed as may
        be."""
        held = WorkerRow.id == self._worker, WorkerRow.generation == self._generation
        waits = self._jobs.c.status == "ENQUEUED", self._jobs.c.queue_name == RUNS
        still = sa.exists().where(Run.id == run.id, Run.moved_to == run.moved_to)
        with self._store.database.write() as session:
            # Locks the row first, so that an adoption comes wholly before or wholly after.
            beat = sa.update(WorkerRow).where(*held).values(heartbeat=database_time())
            if session.execute(beat.returning(WorkerRow.id)).first() is None:
                raise Adopted(f"{self._worker} was taken for dead while it was silent")
            if is_halted(session, self._worker) or not self._has_room(session, run):
                return False
            moved = session.execute(
                sa.update(self._jobs)
                .where(self._jobs.c.workflow_uuid == run.id, *waits, still)
                .values(queue_name=queue_of(self._worker))
                .returning(self._jobs.c.workflow_uuid)
            ).first()
            if moved is None:
                return False
            session.execute(sa.update(Run).where(Run.id == run.id).values(taken=database_time()))
        return True

    def _has_room(self, session: Session, run: Waiting) -> bool:
        """Whether one more run of its owner and of its project may be computed; what was handed
        counts as begun."""
        return all(self._may_have_one_more(session, taker) for taker in _takers(run))

    def _may_have_one_more(self, session: Session, taker: Taker) -> bool:
        most = most_running(session, taker)
        if most is None:
            return True
        self._store.database.lock(session, f"running {taker.kind} {taker.id}")
        c = self._jobs.c
        handed = sa.select(c.workflow_uuid).where(
            c.status.in_(("ENQUEUED", "PENDING")), c.queue_name.not_in((RUNS, STUDIES))
        )
        held = sa.select(sa.func.count()).select_from(Run)
        held = held.where(taker.has, Run.kind != "study", Run.id.in_(handed))
        return (session.scalar(held) or 0) < most


def _takers(run: Waiting) -> tuple[Taker, ...]:
    return takers_of(run.owner, run.project)


def give_back(database: Database, workers: Sequence[str]) -> list[str]:
    """Move the jobs of dead workers back to where all wait: those that they held, whether begun or
    not. Doing it twice changes nothing. Return their ids."""
    jobs = jobs_table(database)
    begun = (jobs.c.status == "PENDING") & jobs.c.executor_id.in_(workers)
    handed = (jobs.c.status == "ENQUEUED") & jobs.c.queue_name.in_(list(map(queue_of, workers)))
    known = jobs.c.application_version.is_(None) | (jobs.c.application_version == VERSION)
    moved = (
        sa.update(jobs)
        .where(begun | handed, known)
        .values(
            status="ENQUEUED",
            queue_name=sa.case((jobs.c.name == CONDUCT_STUDY, STUDIES), else_=RUNS),
            owner_xid=None,
            started_at_epoch_ms=None,
        )
        .returning(jobs.c.workflow_uuid)
    )
    with database.write() as session:
        return list(session.scalars(moved))
