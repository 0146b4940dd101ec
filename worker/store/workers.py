"""Who computes: heartbeats by the database's clock, announcements, addresses of the quick lane."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, defer

from worker.contract.menu import Announcement
from worker.contract.merging import merge
from worker.contract.progress import Event
from worker.contract.records import Halt, LaneAddress, WorkerRecord
from worker.store.attempts import Adopted, add_events
from worker.store.database import Database
from worker.store.halts import halts
from worker.store.menus import Menus, Stamp
from worker.store.tables import Run, WorkerRow, database_time, moment

ALIVE_SECONDS = 15.0
"""A worker whose last heartbeat is older is shown as not alive. It beats every 3 s."""


class WorkerStore:
    """The `workers` table."""

    database: Database
    announced: Menus

    def workers(self) -> list[WorkerRecord]:
        """Every known worker, those alive first."""
        query = select(WorkerRow, database_time()).order_by(WorkerRow.started)
        query = query.options(defer(WorkerRow.announcement, raiseload=True))
        with self.database.read() as session:
            rows = session.execute(query).all()
            said = self.announced.of(session, _announced(row for row, _ in rows))
            told = halts(session)
        records = [_record(row, now, said.get(row.id), told.get(row.id)) for row, now in rows]
        return sorted(records, key=lambda record: not record.alive)

    def menus(self) -> dict[str, Announcement]:
        """What each live worker announced, by its id; one that has not announced yet is absent.

        Those that are ready come first, and those that cannot start are left out where one can.
        """
        with self.database.read() as session:
            return menus(session, self.announced)

    def menus_stamp(self) -> tuple[tuple[str, float | None, bool, str], ...]:
        """A value that is another whenever `menus` would be."""
        said = (WorkerRow.id, WorkerRow.announced, WorkerRow.ready, WorkerRow.problem)
        with self.database.read() as session:
            rows = session.execute(select(*said).where(alive()).order_by(WorkerRow.id))
            return tuple((row.id, row.announced, row.ready, row.problem) for row in rows)

    def announcement(self, said: dict[str, Announcement] | None = None) -> Announcement | None:
        """What the live workers announced, merged, else what was announced last; None if nothing
        ever was. `said` is what `menus` gave, where that was asked for already."""
        if said_now := self.menus() if said is None else said:
            return merge(tuple(said_now.values()))
        last = select(WorkerRow.id, WorkerRow.announced)
        last = last.where(WorkerRow.announcement.is_not(None))
        last = last.order_by(WorkerRow.announced.desc()).limit(1)
        with self.database.read() as session:
            before = self.announced.of(session, _announced(session.execute(last)))
        return next(iter(before.values()), None)

    def lanes(self) -> list[LaneAddress]:
        """Where every live worker answers questions, idle ones first."""
        query = (
            select(WorkerRow.id, WorkerRow.address, WorkerRow.token)
            .where(WorkerRow.address != "", WorkerRow.ready, alive())
            .order_by(WorkerRow.run != "", WorkerRow.heartbeat.desc())
        )
        with self.database.read() as session:
            return [LaneAddress(**row._mapping) for row in session.execute(query)]

    def claim_worker(
        self,
        id: str,
        generation: str,
        holder: dict[str, Any],
        device: str,
        stale_seconds: float,
        is_gone: Callable[[dict[str, Any]], bool],
    ) -> dict[str, Any] | None:
        """Take a worker's row for this process; return the present holder when it is held.

        A row is free when it was stopped or adopted, when its heartbeat is older than
        `stale_seconds`, or when `is_gone` knows its holder to be dead.
        """
        with self.database.write() as session:
            self.database.lock(session, f"worker {id}")
            row = session.get(WorkerRow, id)
            now = session.scalar(select(database_time())) or 0.0
            if row and _is_held(row, now, stale_seconds) and not is_gone(row.holder):
                return row.holder
            row = row or WorkerRow(id=id, started=now)
            row.generation, row.holder, row.device = generation, holder, device
            row.started = row.heartbeat = now
            row.stopped = row.adopted = None
            row.ready, row.run, row.problem, row.address, row.token = False, "", "", "", ""
            session.add(row)
        return None

    def beat(self, id: str, generation: str, **values: Any) -> None:
        """Renew a worker's heartbeat and write `values` into its row; raises Adopted."""
        with self.database.write() as session:
            held = session.execute(
                update(WorkerRow)
                .where(WorkerRow.id == id, WorkerRow.generation == generation)
                .values(heartbeat=database_time(), **values)
                .returning(WorkerRow.id)
            ).first()
        if held is None:
            raise Adopted(f"{id} was taken for dead while it was silent")

    def announce(self, id: str, generation: str, announcement: Announcement) -> None:
        """Store what a worker can do."""
        body = announcement.model_dump(mode="json")
        # Later than the one before it, however coarse the clock: readers tell them apart by this.
        before = func.coalesce(WorkerRow.announced, 0.0)
        moment = case((database_time() > before, database_time()), else_=before + 1e-6)
        self.beat(id, generation, announcement=body, announced=moment, ready=True)

    def release_worker(self, id: str, generation: str) -> None:
        """Say that this process stops in good order."""
        with self.database.write() as session:
            session.execute(
                update(WorkerRow)
                .where(WorkerRow.id == id, WorkerRow.generation == generation)
                .values(stopped=database_time(), ready=False, run="", address="", token="")
            )

    def forget_workers(self, silent_seconds: float) -> list[str]:
        """Delete workers that have been silent for so long, but the one that announced last; their
        ids."""
        last = select(WorkerRow.id).order_by(WorkerRow.announced.desc().nulls_last()).limit(1)
        with self.database.write() as session:
            kept = session.scalar(last)
            silent = WorkerRow.heartbeat < database_time() - silent_seconds
            forgotten = delete(WorkerRow).where(silent, WorkerRow.id != kept)
            return list(session.scalars(forgotten.returning(WorkerRow.id)))

    def adopt_dead(
        self,
        but: str,
        stale_seconds: float,
        again_seconds: float = 60.0,
        is_gone: Callable[[dict[str, Any]], bool] = lambda holder: False,
    ) -> list[str]:
        """Mark dead workers and return the ids whose runs are to be given to others now.

        Dead is one that is silent, that stopped, or whose holder `is_gone` knows to be dead. It
        loses its generation in the same step in which it is found so, and cannot begin an attempt
        afterwards. An id is returned again every `again_seconds`: the adopter may itself have
        died, or a job was taken by a worker that died before its run.
        """
        held = select(WorkerRow.generation, WorkerRow.holder)
        held = held.where(WorkerRow.id != but, WorkerRow.generation.is_not(None))
        with self.database.read() as session:
            gone = [row.generation for row in session.execute(held) if is_gone(row.holder)]
        silent = WorkerRow.heartbeat < database_time() - stale_seconds
        dead = or_(silent, WorkerRow.stopped.is_not(None), WorkerRow.generation.in_(gone))
        due = or_(WorkerRow.adopted.is_(None), WorkerRow.adopted < database_time() - again_seconds)
        with self.database.write() as session:
            found = session.scalars(
                update(WorkerRow)
                .where(WorkerRow.id != but, dead, due)
                .values(generation=None, adopted=database_time(), ready=False, run="", address="")
                .returning(WorkerRow.id),
                execution_options={"synchronize_session": False},
            ).all()
            for id in found:
                _interrupt_runs(session, id)
        return list(found)


def menus(session: Session, announced: Menus) -> dict[str, Announcement]:
    """See WorkerStore.menus."""
    said = select(WorkerRow.id, WorkerRow.announced, WorkerRow.ready, WorkerRow.problem)
    said = said.where(WorkerRow.announcement.is_not(None), alive())
    said = said.order_by(WorkerRow.ready.desc(), WorkerRow.started, WorkerRow.id)
    rows = session.execute(said).all()
    well = [row for row in rows if row.ready or not row.problem] or rows
    return announced.of(session, _announced(well))


def _announced(rows: Iterable[Any]) -> list[Stamp]:
    """The stamps of workers that announced something."""
    return [(row.id, row.announced) for row in rows if row.announced is not None]


def alive(seconds: float = ALIVE_SECONDS) -> ColumnElement[bool]:
    """The condition that a worker's heart beats."""
    return and_(
        WorkerRow.stopped.is_(None),
        WorkerRow.generation.is_not(None),
        WorkerRow.heartbeat > database_time() - seconds,
    )


def run_is_computed() -> ColumnElement[bool]:
    """The condition that a run's worker is alive."""
    return exists().where(WorkerRow.id == Run.worker, alive())


def _interrupt_runs(session: Session, worker: str) -> None:
    ids = session.scalars(
        update(Run)
        .where(Run.worker == worker, Run.state.in_(("loading", "running")))
        .values(state="interrupted", crashes=Run.crashes + 1, attempt=Run.attempt + 1)
        .returning(Run.id),
        execution_options={"synchronize_session": False},
    ).all()
    words = f"The worker {worker} stopped answering; another one starts the run again."
    for id in ids:
        session.execute(update(Run).where(Run.id == id).values(message=words))
        add_events(session, id, [Event(type="state", state="interrupted", message=words)])


def _is_held(row: WorkerRow, now: float, stale_seconds: float) -> bool:
    fresh = row.heartbeat > now - stale_seconds
    return fresh and row.stopped is None and row.generation is not None


def _is_alive(row: WorkerRow, now: float) -> bool:
    return _is_held(row, now, ALIVE_SECONDS)


def _record(
    row: WorkerRow, now: float, said: Announcement | None, halt: Halt | None
) -> WorkerRecord:
    alive = _is_alive(row, now)
    return WorkerRecord(
        id=row.id,
        alive=alive,
        ready=alive and row.ready,
        heartbeat=moment(row.heartbeat),
        started=moment(row.started),
        device=row.device if said is None else said.device,
        run=row.run if alive else "",
        announcement=said,
        problem=row.problem,
        halt=halt,
    )
