"""What people of a shared server may take: limits of everybody and of single people, and use."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import floor
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, delete, exists, func, insert, select
from sqlalchemy.orm import Session, aliased

from worker.contract.errors import TooMuch
from worker.contract.limits import Limits, Used, size_text, size_words, time_words
from worker.store.database import Database
from worker.store.people import person_row
from worker.store.people_tables import LimitsRow, PersonRow
from worker.store.sight import WHOLE
from worker.store.tables import Run, RunParent, database_time
from worker.store.turns import WAITS

EVERYBODY = ""
"""Whose limits hold for all but admins, where a person has none of their own."""
DAY = 86400.0
_COMPUTED = and_(Run.state.in_(("loading", "running")), Run.kind != "study")
SOON = 30.0
"""Seconds after which it is worth another try where runs wait."""


class LimitStore:
    """The limits and what is taken."""

    database: Database

    def limits(self) -> dict[str, Limits]:
        """Every limit that was set, by the person; of all under the empty name."""
        with self.database.read() as session:
            return _set(session)

    def limits_of(self, person: str) -> Limits:
        """What holds for a person."""
        with self.database.read() as session:
            return _holding(session, person)

    def set_limits(self, person: str, limits: Limits) -> None:
        """Set a person's limits, or with an empty name everybody's; NotFound for nobody."""
        with self.database.write() as session:
            if person:
                person_row(session, person)
            session.execute(delete(LimitsRow).where(LimitsRow.person == person))
            if limits != Limits():
                session.execute(insert(LimitsRow).values(person=person, **limits.model_dump()))

    def used(self, person: str) -> Used:
        """What a person takes now."""
        with self.database.read() as session:
            return _used(session, person)


def refuse_beyond(session: Session, person: str) -> None:
    """Raise TooMuch where a person may submit nothing now: what is used, and when there is room."""
    limits = _holding(session, person)
    if limits == Limits():
        return
    used, now = _used(session, person), session.scalar(select(database_time())) or 0.0
    if limits.waiting is not None and used.waiting >= limits.waiting:
        raise TooMuch(
            f"{used.waiting} of your runs wait, and {limits.waiting} at once are the limit for you "
            f"on this server. Submit again when one has begun, or cancel one.",
            seconds=SOON,
        )
    if limits.device_seconds is not None and used.device_seconds >= limits.device_seconds:
        left = used.resets.timestamp() - now
        raise TooMuch(
            f"Your runs have computed for {time_words(used.device_seconds)} today, and "
            f"{time_words(limits.device_seconds)} a day are the limit for you on this server. The "
            f"next day begins at midnight UTC, in {time_words(left)}.",
            seconds=left,
        )
    if limits.storage is not None and used.storage >= limits.storage:
        raise TooMuch(
            f"The files of your runs take {size_words(used.storage)}, and "
            f"{size_text(limits.storage)} are the limit for you on this server. Delete runs that "
            f"you need no longer.",
        )


def at_their_limit(session: Session, people: Sequence[str]) -> set[str]:
    """Those of these people of whom no further run may be computed now."""
    known = _set(session)
    if not any(limits.running is not None for limits in known.values()):
        return set()
    return {
        person
        for person in set(people)
        if (most := most_running(session, person, known)) is not None
        and _count(session, person, _COMPUTED) >= most
    }


def most_running(
    session: Session, person: str, known: Mapping[str, Limits] | None = None
) -> int | None:
    """How many runs of a person may be computed at once; None: any number. `known` are the limits
    that are set, where they were read already."""
    return _holding(session, person, known).running if person else None


def _set(session: Session) -> dict[str, Limits]:
    names = tuple(Limits.model_fields)
    return {
        row.person: Limits(**{name: getattr(row, name) for name in names})
        for row in session.scalars(select(LimitsRow))
    }


def _holding(session: Session, person: str, known: Mapping[str, Limits] | None = None) -> Limits:
    known = _set(session) if known is None else known
    own = known.get(person, Limits())
    role = session.scalar(select(PersonRow.role).where(PersonRow.name == person))
    everybody = known.get(EVERYBODY, Limits())
    if role == "guest":  # whose limits a teacher sets, an admin the server's
        return own.within(everybody)
    return own if role in (None, "admin") else own.over(everybody)


def _used(session: Session, person: str) -> Used:
    now = session.scalar(select(database_time())) or 0.0
    midnight = floor(now / DAY) * DAY
    ended = func.coalesce(Run.finished, now)
    begun = case((Run.started > midnight, Run.started), else_=midnight)
    seconds = select(func.sum(ended - begun)).where(
        # What was computed elsewhere, and came with a bundle, was handed to no worker.
        Run.owner == person,
        Run.kind != "study",
        Run.taken.is_not(None),
        Run.started.is_not(None),
        ended > midnight,
    )
    waits = and_(Run.state.in_(WAITS), ~_of_study())
    return Used(
        waiting=_count(session, person, waits),
        running=_count(session, person, _COMPUTED),
        device_seconds=session.scalar(seconds, execution_options=WHOLE) or 0.0,
        storage=_of_all(session, select(func.sum(Run.bytes)).where(Run.owner == person)),
        resets=datetime.fromtimestamp(midnight + DAY, UTC),
    )


def _of_study() -> ColumnElement[bool]:
    """Whether a study asked for the run."""
    study = aliased(Run)
    asked = and_(RunParent.run_id == Run.id, study.id == RunParent.parent_id)
    return exists().where(asked, study.kind == "study")


def _count(session: Session, person: str, which: ColumnElement[bool]) -> int:
    return _of_all(session, select(func.count()).select_from(Run).where(Run.owner == person, which))


def _of_all(session: Session, query: Select[Any]) -> int:
    """A number of runs, whoever looks: what a person takes is not only what others may see."""
    found: int | None = session.scalar(query, execution_options=WHOLE)
    return found or 0
