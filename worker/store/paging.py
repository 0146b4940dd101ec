"""Pages of runs, found by the place at which they begin: the last page costs what the first does.

A place is the key of a run in the order of the lists, so that it stays when that run is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from worker.contract.errors import UserError
from worker.contract.records import RunRecord
from worker.store.listing import RunFilter, newest_first, records
from worker.store.menus import Menus
from worker.store.tables import Run

COUNTED = 1_000
"""Of more runs a list says only that they are more: to count them takes longer than to show."""


@dataclass(frozen=True)
class Place:
    """When a run was asked for, in seconds since 1970, and its id."""

    created: float
    id: str

    def __str__(self) -> str:
        return f"{self.created!r}-{self.id}"


@dataclass(frozen=True)
class RunsPage:
    """Some of the runs that match, newest first."""

    runs: list[RunRecord]
    places: Sequence[Place]
    """Where each of them stands."""
    n: int
    """How many match from the first of them on; of more than were to be counted, one more."""
    begins: bool
    """Whether it is the first page."""


def read_place(text: str, field: str) -> Place:
    """Read a place as it was written; raises UserError for what is none."""
    created, _, id = text.partition("-")
    try:
        return Place(float(created), id)
    except ValueError:
        raise UserError(
            f"{field} is {text[:60]!r}; expected the place of a run as a list of runs gives it.",
            field=field,
        ) from None


def read_page(
    session: Session,
    which: RunFilter,
    announced: Menus,
    *,
    limit: int,
    counted: int,
    after: Place | None,
    before: Place | None,
) -> RunsPage:
    """Read the runs after a place or just before one; those after it are counted up to `counted`.

    One query finds and counts: what a search has looked through it need not look through again.
    """
    start: ColumnElement[bool] | None = None
    if before is not None:
        query = newest_first(which, limit, _stands > _key(before), backwards=True)
        sooner = session.execute(query).all()
        if len(sooner) == limit:
            start = _stands <= _key(Place(sooner[-1].created, sooner[-1].id))
    elif after is not None:
        start = _stands < _key(after)
    keys = session.execute(newest_first(which, max(counted + 1, limit), start)).all()
    places = [Place(key.created, key.id) for key in keys[:limit]]
    rows = select(Run).where(Run.id.in_([place.id for place in places]))
    rows = rows.order_by(Run.created.desc(), Run.id.desc())
    return RunsPage(records(session, rows, announced), places, len(keys), start is None)


_stands = tuple_(Run.created, Run.id)


def _key(place: Place) -> ColumnElement[tuple[float, str]]:
    return tuple_(place.created, place.id)
