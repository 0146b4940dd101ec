"""Guests of classes: how they come in by a link, and what they may ask for."""

import secrets

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from worker.contract import visitors
from worker.contract.classes import Class, guest_name, login_of, refuse_beyond
from worker.contract.errors import Conflict, Forbidden, NotFound, UserError
from worker.contract.people import Person
from worker.contract.spec import Spec
from worker.store import secret_hash
from worker.store.acting import Acting
from worker.store.class_tables import ClassRow, GuestRow
from worker.store.classes import class_of, let_go, limit_guest
from worker.store.database import Database
from worker.store.lesson_tables import LessonReader
from worker.store.people import insert_person, person_of
from worker.store.people_tables import PersonRow
from worker.store.project_tables import MemberRow
from worker.store.sight import WHOLE
from worker.store.tables import database_time

_GONE = (
    "This link to a class does not hold: it was revoked or renewed, has expired, or the class has "
    "ended. Ask your teacher for another."
)


class GuestStore:
    """Guests, by the name that the server has for them."""

    database: Database
    acting: Acting

    def class_of_link(self, secret: str) -> Class:
        """The class that a join link leads to; raises NotFound for a link that does not hold."""
        with self.database.read() as session:
            row = session.scalar(_by_link(secret), execution_options=WHOLE)
            if row is None:
                raise NotFound(_GONE)
            return class_of(session, row)

    def join(self, secret: str, name: str) -> Person:
        """Take a seat in a class under a name; of many who do at once, as many as there are seats.

        NotFound for a link that does not hold, Conflict where no seat is left, UserError for a
        name that somebody in the class has.
        """
        shown = guest_name(name)
        with self.database.write() as session:
            self.database.lock(session, f"class of {secret_hash.digest(secret)}")
            row = session.scalar(_by_link(secret).with_for_update(), execution_options=WHOLE)
            if row is None:
                raise NotFound(_GONE)
            held = class_of(session, row)
            if not held.left:
                raise Conflict(
                    f"All {held.seats} seats of the class {held.title!r} are taken. Ask your "
                    f"teacher to add seats, or to let somebody go."
                )
            _refuse_taken(session, held, shown)
            login = login_of(shown, secrets.token_hex(4))
            person = insert_person(session, self.database, login, f"guest:{row.id}", "guest")
            now = session.scalar(select(database_time())) or 0.0
            session.add(GuestRow(person=login, class_id=row.id, name=shown, joined=now))
            session.add(MemberRow(project_id=row.project, person=login, role="member"))
            session.add(LessonReader(id=login, name=shown))
            limit_guest(session, login, held.limits)
            return person_of(person)

    def class_of_guest(self, person: str) -> Class:
        """The class of a guest; raises NotFound for who is none."""
        with self.database.read() as session:
            found = guests_class(session, person)
            if found is None:
                raise NotFound(f"{person[:50]!r} is a guest of no class.")
            return class_of(session, found)

    def leave_class(self, person: str) -> None:
        """Let a guest go who signs out, and cannot come back; the seat and the name are free."""
        with self.database.write() as session:
            if guests_class(session, person) is not None:
                let_go(session, [person])

    def refuse_outside_class(self, spec: Spec) -> None:
        """Raise Forbidden for what whoever acts may not ask for as a guest of a class, or as a
        visitor of an open house."""
        if self.acting.visit is not None:
            visitors.refuse_beyond(self.acting.visit, spec)
        if self.acting.is_guest:
            with self.database.read() as session:
                refuse_outside(session, self.acting.person, spec)


def refuse_outside(
    session: Session, person: str, spec: Spec, *, is_submitted: bool = False
) -> None:
    """Raise Forbidden for what a guest may not ask for, by the rules of their class as they are.

    Where it is submitted in the same transaction, these rules, and that the class has not ended,
    hold until that is through.
    """
    row = guests_class(session, person, is_held=is_submitted)
    if row is None:
        raise Forbidden("You are a guest of no class; ask your teacher for a link.")
    refuse_beyond(class_of(session, row), spec)


def guests_class(session: Session, person: str, *, is_held: bool = False) -> ClassRow | None:
    """The class of a guest; None for who is none. Where it is held nobody changes it meanwhile."""
    query = select(ClassRow).join(GuestRow, GuestRow.class_id == ClassRow.id)
    query = query.where(GuestRow.person == person)
    if is_held:
        query = query.with_for_update(read=True, of=ClassRow)
    return session.scalar(query, execution_options=WHOLE)


def _by_link(secret: str) -> Select[ClassRow]:
    return select(ClassRow).where(
        ClassRow.link == secret_hash.digest(secret),
        ClassRow.ended.is_(None),
        ClassRow.link_expires > database_time(),
    )


def _refuse_taken(session: Session, held: Class, name: str) -> None:
    query = (
        select(GuestRow.name)
        .join(PersonRow, PersonRow.name == GuestRow.person)
        .where(GuestRow.class_id == held.id, PersonRow.disabled.is_(False))
    )
    taken = session.scalars(query, execution_options=WHOLE)
    if name.casefold() in {one.casefold() for one in taken}:
        raise UserError(
            f"Somebody in the class has the name {name!r}; choose another, for example with a "
            f"letter of your surname.",
            field="name",
        )
