"""What people and projects of a shared server take of it with their runs, whoever looks."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select
from sqlalchemy.orm import Session, aliased

from worker.contract.limits import Used
from worker.store.sight import WHOLE
from worker.store.tables import Run, RunParent, database_time
from worker.store.turns import WAITS

DAY = 86400.0
_COMPUTED = and_(Run.state.in_(("loading", "running")), Run.kind != "study")


@dataclass(frozen=True)
class Taker:
    """A person by their name, or a project by its id; all of the kind for an empty one."""

    kind: Literal["person", "project"]
    id: str

    @property
    def has(self) -> ColumnElement[bool]:
        """The condition that a run is theirs."""
        return (Run.owner if self.kind == "person" else Run.project) == self.id


def takers_of(owner: str, project: str) -> tuple[Taker, ...]:
    """Whose a run is: its owner's and its project's, as far as it has them."""
    both = Taker("person", owner), Taker("project", project)
    return tuple(taker for taker in both if taker.id)


def used(session: Session, taker: Taker) -> Used:
    """What somebody takes now."""
    now = session.scalar(select(database_time())) or 0.0
    midnight = floor(now / DAY) * DAY
    ended = func.coalesce(Run.finished, now)
    begun = case((Run.started > midnight, Run.started), else_=midnight)
    seconds = select(func.sum(ended - begun)).where(
        # What was computed elsewhere, and came with a bundle, was handed to no worker.
        taker.has,
        Run.kind != "study",
        Run.taken.is_not(None),
        Run.started.is_not(None),
        ended > midnight,
    )
    waits = and_(Run.state.in_(WAITS), ~_of_study())
    return Used(
        waiting=_count(session, taker, waits),
        running=computed(session, taker),
        device_seconds=session.scalar(seconds, execution_options=WHOLE) or 0.0,
        storage=_of_all(session, select(func.sum(Run.bytes)).where(taker.has)),
        resets=datetime.fromtimestamp(midnight + DAY, UTC),
    )


def computed(session: Session, taker: Taker) -> int:
    """How many runs of somebody's are computed now."""
    return _count(session, taker, _COMPUTED)


def _of_study() -> ColumnElement[bool]:
    """Whether a study asked for the run."""
    study = aliased(Run)
    asked = and_(RunParent.run_id == Run.id, study.id == RunParent.parent_id)
    return exists().where(asked, study.kind == "study")


def _count(session: Session, taker: Taker, which: ColumnElement[bool]) -> int:
    return _of_all(session, select(func.count()).select_from(Run).where(taker.has, which))


def _of_all(session: Session, query: Select[Any]) -> int:
    """A number of runs, whoever looks: what a person takes is not only what others may see."""
    found: int | None = session.scalar(query, execution_options=WHOLE)
    return found or 0
