"""Which workers are told to take no new run, by whom, and since when.

The order stands under the worker's name and not in its row: a worker that starts anew under the
name finds it, also one that was forgotten meanwhile.
"""

from collections.abc import Mapping

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from worker.contract.base import unknown
from worker.contract.errors import Forbidden, NotFound
from worker.contract.records import Halt, Halted
from worker.store.acting import Acting
from worker.store.database import Database
from worker.store.tables import HaltRow, WorkerRow, database_time, moment


class HaltStore:
    """The `halts` table."""

    database: Database
    acting: Acting

    def halts(self) -> dict[str, Halt]:
        """The order of each worker that has one."""
        with self.database.read() as session:
            return halts(session)

    def halt(self, worker: str, what: Halted, by: str) -> None:
        """Tell a worker to take no new run; what was told before gives way. NotFound for none."""
        self._refuse_all_but_admins()
        with self.database.write() as session:
            # Locks the worker's row, as one that takes a run does: it has taken it before, or it
            # sees the order.
            same = update(WorkerRow).where(WorkerRow.id == worker)
            found = session.scalar(same.values(id=worker).returning(WorkerRow.id))
            _known(session, worker, found is not None)
            session.execute(delete(HaltRow).where(HaltRow.worker == worker))
            order = {"worker": worker, "what": what, "by": by[:255], "at": database_time()}
            session.execute(insert(HaltRow).values(order))
        self.acting.tell(f"worker {worker}")

    def resume(self, worker: str) -> None:
        """Let a worker take runs again; one that does already goes on. NotFound for none."""
        self._refuse_all_but_admins()
        with self.database.write() as session:
            told = delete(HaltRow).where(HaltRow.worker == worker).returning(HaltRow.worker)
            was_told = session.scalar(told) is not None
            _known(session, worker, was_told or session.get(WorkerRow, worker) is not None)
        self.acting.tell(f"worker {worker}")

    def drained(self, worker: str) -> Halt | None:
        """The order to end that a worker's present process has; None where it has none.

        A process that began after the order is paused by it: whatever started it would start it
        again and again.
        """
        query = select(HaltRow).join(WorkerRow, WorkerRow.id == HaltRow.worker)
        query = query.where(HaltRow.worker == worker, HaltRow.what == "drained")
        with self.database.read() as session:
            row = session.scalar(query.where(HaltRow.at >= WorkerRow.started))
            return None if row is None else _halt(row)

    def _refuse_all_but_admins(self) -> None:
        if not self.acting.may_all:
            raise Forbidden("Workers are for admins to pause, drain and resume. Ask an admin.")


def halts(session: Session) -> dict[str, Halt]:
    """See HaltStore.halts."""
    return {row.worker: _halt(row) for row in session.scalars(select(HaltRow))}


def words_of(orders: Mapping[str, Halt]) -> dict[str, str]:
    """Why each of these workers takes nothing, as the end of a sentence that begins with it."""
    return {worker: f"is {order.what} by {order.by}" for worker, order in orders.items()}


def is_halted(session: Session, worker: str) -> bool:
    """Whether a worker is told to take no new run."""
    return session.get(HaltRow, worker) is not None


def _known(session: Session, worker: str, found: bool) -> None:
    if not found:
        known = list(session.scalars(select(WorkerRow.id).order_by(WorkerRow.id)))
        raise NotFound(unknown("worker", worker[:100], known).message, field="worker")


def _halt(row: HaltRow) -> Halt:
    return Halt.model_validate({"what": row.what, "by": row.by, "at": moment(row.at)})
