"""Results of runs, each read from the database and checked once: a run's page, every figure of it
and its dossier ask for the same one."""

import threading

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.contract.result import Result
from worker.store.tables import Run, RunResult

KEPT = 8_000_000
"""Characters of JSON whose results are kept in memory: those asked for last. In memory, a result is
some five times its JSON."""
Stamp = tuple[float, float | None]
"""When a run was asked for and when it ended: a result does not change after that, and a run that
was deleted and brought back under its id has others."""


class Results:
    """The results that were asked for last. Usable from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[str, tuple[Stamp, int, Result]] = {}

    def of(self, session: Session, id: str) -> Result | None:
        """A run's result; None where it has none, or where there is no such run."""
        stamp = select(Run.created, Run.finished).where(Run.id == id, Run.has_result)
        row = session.execute(stamp).first()
        if row is None:
            return None
        at: Stamp = (row.created, row.finished)
        with self._lock:
            if id in self._read and self._read[id][0] == at:
                self._read[id] = self._read.pop(id)
                return self._read[id][2]
        stored = select(RunResult.body, func.length(RunResult.body)).where(RunResult.run_id == id)
        found = session.execute(stored).first()
        if found is None:
            return None
        result = Result.model_validate(found[0])
        with self._lock:
            self._read.pop(id, None)
            self._read[id] = at, found[1], result
            self._forget()
        return result

    def _forget(self) -> None:
        held = sum(size for _, size, _ in self._read.values())
        for id in list(self._read)[:-1]:
            if held <= KEPT:
                return
            held -= self._read.pop(id)[1]
