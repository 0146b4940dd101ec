"""What a worker writes of a run, each write guarded by the run's attempt number.

A worker that comes back from a pause still believes that it holds its run. Every start of a run
takes the next attempt number, and a write with an older one raises Fenced and changes nothing.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from worker.contract.base import Contract
from worker.contract.errors import LetheError
from worker.contract.progress import FINAL_STATES, Event, RunState
from worker.contract.result import Result
from worker.contract.spec import Spec, parse_spec
from worker.store.database import Database
from worker.store.paces import remember_paces
from worker.store.tables import Run, RunEvent, RunResult, WorkerRow, database_time

MAX_CRASHES = 2
"""A run is tried again after this many crashes, and failed at the next."""


class Fenced(LetheError):
    """The run is no longer this worker's: somebody else started, cancelled or deleted it."""


class Adopted(LetheError):
    """This worker was taken for dead, and its runs were given to others."""


class Attempt(Contract):
    """One start of a run."""

    run_id: str
    number: int
    spec: Spec
    batch_scale: float
    crashes: int
    session: str = ""
    """Who submitted it, so that a study's children take that session's turns."""


class AttemptStore:
    """The worker's side of `runs`."""

    database: Database

    def begin_attempt(self, run_id: str, worker: str, generation: str) -> Attempt | None:
        """Take a run and its next attempt number; None when there is nothing left to do.

        Raises Adopted when the worker's row is no longer held by `generation`: the row is locked
        first, so a reaper's adoption comes wholly before or wholly after.
        """
        with self.database.write() as session:
            held = session.execute(
                update(WorkerRow)
                .where(WorkerRow.id == worker, WorkerRow.generation == generation)
                .values(heartbeat=database_time(), run=run_id)
                .returning(WorkerRow.id)
            ).first()
            if held is None:
                raise Adopted(f"{worker} was taken for dead while it was silent")
            return _take(session, run_id, worker)

    def append(self, run_id: str, attempt: int, events: Sequence[Event]) -> None:
        """Add events in order, and what they say of the run to its row; all or, if Fenced, none."""
        with self.database.write() as session:
            _own(session, run_id, attempt, _changes(events))
            add_events(session, run_id, events)

    def finish(
        self,
        run_id: str,
        attempt: int,
        state: RunState,
        message: str = "",
        result: Result | None = None,
        before: Sequence[Event] = (),
        size: int = 0,
    ) -> None:
        """End a run: its last events, its result and its final state in one transaction.

        `size`: bytes of its files.
        """
        with self.database.write() as session:
            _own(session, run_id, attempt, _changes(before))
            if result is not None:
                session.add(RunResult(run_id=run_id, body=result.model_dump(mode="json")))
                session.execute(
                    update(Run).where(Run.id == run_id).values(has_result=True, bytes=size)
                )
                made = result.provenance
                remember_paces(session, run_id, made.model, result.paces)
            add_events(session, run_id, before)
            end_run(session, run_id, state, message)

    def interrupt(
        self, run_id: str, attempt: int, message: str, *, crashed: bool, log: Sequence[Event] = ()
    ) -> bool:
        """Say that the run waits to be started again; False if it has crashed too often for that.

        In that case the run is failed with `message` as its reason.
        """
        with self.database.write() as session:
            values: dict[str, Any] = {"state": "interrupted", "message": message}
            crashes = _own(
                session, run_id, attempt, values | {"crashes": Run.crashes + int(crashed)}
            )
            add_events(session, run_id, log)
            if crashes > MAX_CRASHES:
                end_run(session, run_id, "failed", f"{message} It was tried {crashes} times.")
                return False
            add_events(session, run_id, [_state("interrupted", message)])
            return True

    def scale_batch(self, run_id: str, attempt: int, scale: float) -> None:
        """Remember the batch scale with which the run is tried next."""
        with self.database.write() as session:
            _own(session, run_id, attempt, {"batch_scale": scale})

    def is_cancel_requested(self, run_id: str, attempt: int) -> bool:
        """Whether the user asked to stop; raises Fenced when the run is no longer this worker's."""
        with self.database.read() as session:
            row = session.execute(
                select(Run.cancel_requested, Run.attempt, Run.state).where(Run.id == run_id)
            ).first()
        if row is None or row.attempt != attempt or row.state in FINAL_STATES:
            raise Fenced(f"run {run_id} is no longer at attempt {attempt}")
        return row.cancel_requested is not None


def add_events(session: Session, run_id: str, events: Sequence[Event]) -> None:
    """Give events the next offsets: the update locks the run, so offsets have no gaps."""
    if not events:
        return
    end = session.execute(
        update(Run)
        .where(Run.id == run_id)
        .values(n_events=Run.n_events + len(events))
        .returning(Run.n_events)
    ).scalar_one()
    session.execute(
        insert(RunEvent).values(created=database_time()),
        [
            {
                "run_id": run_id,
                "offset": end - len(events) + index,
                "type": event.type,
                "body": event.model_dump(mode="json", exclude_defaults=True),
            }
            for index, event in enumerate(events)
        ],
    )


def end_run(session: Session, run_id: str, state: RunState, message: str) -> None:
    """Put a run into a final state with its last event. The caller has made sure it may."""
    values: dict[str, Any] = {"fraction": 1.0} if state == "done" else {}
    session.execute(
        update(Run)
        .where(Run.id == run_id)
        .values(state=state, message=message, finished=database_time(), seconds_left=None, **values)
    )
    add_events(session, run_id, [_state(state, message)])


def _state(state: RunState, message: str = "") -> Event:
    return Event(type="state", state=state, message=message)


def _own(session: Session, run_id: str, attempt: int, values: dict[str, Any]) -> int:
    """Write `values` into the run if this attempt still holds it; return its crashes."""
    crashes = session.execute(
        update(Run)
        .where(Run.id == run_id, Run.attempt == attempt, Run.state.not_in(FINAL_STATES))
        .values(attempt=attempt, **values)
        .returning(Run.crashes)
    ).scalar()
    if crashes is None:
        raise Fenced(f"run {run_id} is no longer at attempt {attempt}")
    return crashes


def _changes(events: Sequence[Event]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for event in events:
        if event.type == "progress":
            values |= {"message": event.message, "seconds_left": event.seconds_left}
            values["fraction"] = event.fraction or 0.0
        elif event.type == "state":
            values |= {"state": event.state, "message": event.message}
    return values


def _take(session: Session, run_id: str, worker: str) -> Attempt | None:
    died = Run.state.in_(("loading", "running"))
    row = session.execute(
        update(Run)
        .where(Run.id == run_id, Run.state.not_in(FINAL_STATES))
        .values(
            attempt=Run.attempt + 1,
            crashes=Run.crashes + case((died, 1), else_=0),
            started=func.coalesce(Run.started, database_time()),
            worker=worker,
            fraction=0.0,
            seconds_left=None,
        )
        .returning(
            Run.attempt,
            Run.crashes,
            Run.state,
            Run.spec,
            Run.batch_scale,
            Run.session,
            Run.cancel_requested,
        )
    ).first()
    if row is None:
        return None
    if row.cancel_requested is not None:
        end_run(session, run_id, "cancelled", "Cancelled.")
        return None
    if row.crashes > MAX_CRASHES:
        words = f"The worker died {row.crashes} times while it computed this run."
        end_run(session, run_id, "failed", words)
        return None
    if row.state in ("loading", "running"):
        add_events(session, run_id, [_state("interrupted", "The worker died; started again.")])
    session.execute(update(Run).where(Run.id == run_id).values(state="loading", message=""))
    add_events(session, run_id, [_state("loading")])
    return Attempt(
        run_id=run_id,
        number=row.attempt,
        spec=parse_spec(row.spec),
        batch_scale=row.batch_scale,
        crashes=row.crashes,
        session=row.session,
    )
