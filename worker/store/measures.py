"""What a monitor asks of the store: how much waits, how it ended, and how long it took.

A few sums in the database, whatever it holds; nothing is read of a single run.
"""

from dataclasses import dataclass, field

from sqlalchemy import case, func, select

from worker.store.database import Database
from worker.store.tables import HaltRow, Run, WorkerRow, database_time
from worker.store.turns import WAITS
from worker.store.workers import alive

BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
"""Seconds: the upper ends of the steps in which a run's time is counted."""


@dataclass(frozen=True)
class Took:
    """How long the finished runs of a kind took."""

    within: tuple[int, ...]
    """How many took at most each of BOUNDS."""
    n: int
    seconds: float


@dataclass
class Measures:
    """The store in numbers, at one moment."""

    waiting: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Kind -> runs that wait for a worker, and for how many seconds the oldest does."""
    states: dict[str, int] = field(default_factory=dict)
    """State -> runs, archived ones too."""
    took: dict[str, Took] = field(default_factory=dict)
    """Kind -> how long its runs took that are done."""
    workers_alive: int = 0
    workers_ready: int = 0
    workers_paused: int = 0
    """Those alive that an admin paused or drained."""


def measure(database: Database) -> Measures:
    """Take the numbers."""
    found = Measures()
    seconds = Run.finished - Run.started
    within = [func.sum(case((seconds <= bound, 1), else_=0)) for bound in BOUNDS]
    ended = select(Run.kind, func.count(), func.sum(seconds), *within)
    ended = ended.where(Run.state == "done", Run.started.is_not(None)).group_by(Run.kind)
    waits = select(Run.kind, func.count(), database_time() - func.min(Run.created))
    waits = waits.where(Run.state.in_(WAITS)).group_by(Run.kind)
    with database.read() as session:
        for kind, n, oldest in session.execute(waits):
            found.waiting[kind] = (n, max(oldest, 0.0))
        for state, n in session.execute(select(Run.state, func.count()).group_by(Run.state)):
            found.states[state] = n
        for kind, n, total, *counts in session.execute(ended):
            found.took[kind] = Took(tuple(int(one) for one in counts), n, float(total))
        n_ready = func.sum(case((WorkerRow.ready, 1), else_=0))
        living = select(func.count(), n_ready, func.count(HaltRow.worker)).select_from(WorkerRow)
        living = living.outerjoin(HaltRow, HaltRow.worker == WorkerRow.id).where(alive())
        counts = [int(n or 0) for n in session.execute(living).one()]
        found.workers_alive, found.workers_ready, found.workers_paused = counts
    return found
