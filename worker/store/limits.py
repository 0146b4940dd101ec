"""What people and projects of a shared server may take: limits of all and of single ones.

A run counts for its owner and for the project that it is in; both limits hold.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from worker.contract.errors import TooMuch
from worker.contract.limits import Limits, Used, size_text, size_words, time_words
from worker.store.database import Database
from worker.store.people import person_row
from worker.store.people_tables import LimitsRow, PersonRow
from worker.store.placing import no_project
from worker.store.project_tables import ProjectLimitsRow, ProjectRow
from worker.store.sight import WHOLE
from worker.store.tables import database_time
from worker.store.taking import Taker, computed, takers_of, used

EVERYBODY = ""
"""Whose limits hold for all but admins, where a person has none of their own; among projects,
those of every project that has none of its own."""
SOON = 30.0
"""Seconds after which it is worth another try where runs wait."""
Known = Mapping[Taker, Limits]
"""The limits that are set."""


class LimitStore:
    """The limits and what is taken."""

    database: Database

    def limits(self) -> dict[str, Limits]:
        """Every limit of people that was set, by the person; of all under the empty name."""
        return self._all("person")

    def project_limits(self) -> dict[str, Limits]:
        """Every limit of projects that was set, by the project's id; of all under an empty one."""
        return self._all("project")

    def limits_of(self, person: str, project: str = "") -> Limits:
        """What holds for a person or, where one is given, for a project."""
        with self.database.read() as session:
            return _holding(session, _taker(person, project))

    def set_limits(self, person: str, limits: Limits) -> None:
        """Set a person's limits, or with an empty name everybody's; NotFound for nobody."""
        with self.database.write() as session:
            if person:
                person_row(session, person)
            _write(session, LimitsRow, {"person": person}, limits)

    def set_project_limits(self, project: str, limits: Limits) -> None:
        """Set a project's limits, or with an empty id those of all; NotFound for none."""
        with self.database.write() as session:
            if project and session.get(ProjectRow, project) is None:
                raise no_project(project)
            _write(session, ProjectLimitsRow, {"project": project}, limits)

    def used(self, person: str, project: str = "") -> Used:
        """What a person takes now or, where one is given, a project."""
        with self.database.read() as session:
            return used(session, _taker(person, project))

    def _all(self, kind: str) -> dict[str, Limits]:
        with self.database.read() as session:
            return {taker.id: one for taker, one in _set(session).items() if taker.kind == kind}


def refuse_beyond(session: Session, person: str, project: str = "") -> None:
    """Raise TooMuch where a person may submit nothing now, or nothing into a project: whose limit
    it is, what is used, and when there is room."""
    known = _set(session)
    for taker in takers_of(person, project):
        _refuse_beyond(session, taker, _holding(session, taker, known))


def _refuse_beyond(session: Session, taker: Taker, limits: Limits) -> None:
    if limits == Limits():
        return
    taken, now = used(session, taker), session.scalar(select(database_time())) or 0.0
    is_own = taker.kind == "person"
    runs = "your runs" if is_own else f"the runs of the project {title_of(session, taker.id)!r}"
    whose = "for you on this server" if is_own else "for it on this server"
    if limits.waiting is not None and taken.waiting >= limits.waiting:
        raise TooMuch(
            f"{taken.waiting} of {runs} wait, and {limits.waiting} at once are the limit {whose}. "
            f"Submit again when one has begun, or cancel one.",
            seconds=SOON,
        )
    if limits.device_seconds is not None and taken.device_seconds >= limits.device_seconds:
        left = taken.resets.timestamp() - now
        raise TooMuch(
            f"{_first_up(runs)} have computed for {time_words(taken.device_seconds)} today, and "
            f"{time_words(limits.device_seconds)} a day are the limit {whose}. The next day begins "
            f"at midnight UTC, in {time_words(left)}.",
            seconds=left,
        )
    if limits.storage is not None and taken.storage >= limits.storage:
        raise TooMuch(
            f"The files of {runs} take {size_words(taken.storage)}, and "
            f"{size_text(limits.storage)} are the limit {whose}. Delete runs that are needed no "
            f"longer.",
        )


def refuse_files(session: Session, project: str, size: int) -> None:
    """Raise TooMuch where a project has no room for the files of one more run, in bytes."""
    taker = _taker("", project)
    most, taken = _holding(session, taker).storage, used(session, taker).storage
    if most is not None and taken + size > most:
        raise TooMuch(
            f"The files of the runs of the project {title_of(session, project)!r} take "
            f"{size_words(taken)}, this run's {size_words(size)}, and {size_text(most)} are the "
            f"limit for it on this server. Delete runs of it that are needed no longer."
        )


def at_their_limit(session: Session, takers: Iterable[Taker]) -> set[Taker]:
    """Those of these of whom no further run may be computed now."""
    known = _set(session)
    if not any(limits.running is not None for limits in known.values()):
        return set()
    return {
        taker
        for taker in set(takers)
        if (most := most_running(session, taker, known)) is not None
        and computed(session, taker) >= most
    }


def most_running(session: Session, taker: Taker, known: Known | None = None) -> int | None:
    """How many runs of somebody's may be computed at once; None: any number. `known` are the
    limits that are set, where they were read already."""
    return _holding(session, taker, known).running if taker.id else None


def title_of(session: Session, project: str) -> str:
    """A project's title, whoever looks; its id where there is no such project any more."""
    query = select(ProjectRow.title).where(ProjectRow.id == project)
    return session.scalar(query, execution_options=WHOLE) or project


def _taker(person: str, project: str) -> Taker:
    return Taker("project", project) if project else Taker("person", person)


def _set(session: Session) -> dict[Taker, Limits]:
    found = {Taker("person", row.person): _read(row) for row in session.scalars(select(LimitsRow))}
    rows = session.scalars(select(ProjectLimitsRow))
    return found | {Taker("project", row.project): _read(row) for row in rows}


def _read(row: LimitsRow | ProjectLimitsRow) -> Limits:
    return Limits(**{name: getattr(row, name) for name in Limits.model_fields})


def _write(session: Session, table: Any, key: Mapping[str, str], limits: Limits) -> None:
    session.execute(delete(table).filter_by(**key))
    if limits != Limits():
        session.execute(insert(table).values(**key, **limits.model_dump()))


def _holding(session: Session, taker: Taker, known: Known | None = None) -> Limits:
    known = _set(session) if known is None else known
    own, all_of_them = known.get(taker, Limits()), known.get(Taker(taker.kind, EVERYBODY), Limits())
    if taker.kind == "person":
        role = session.scalar(select(PersonRow.role).where(PersonRow.name == taker.id))
        if role in (None, "admin"):
            return own
        if role == "guest":  # whose limits a teacher sets, an admin the server's
            return own.within(all_of_them)
    return own.over(all_of_them)


def _first_up(words: str) -> str:
    return words[:1].upper() + words[1:]
