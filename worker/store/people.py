"""People of a shared server: their names, roles and passwords."""

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from worker.contract.base import unknown
from worker.contract.errors import Conflict, NotFound, UserError
from worker.contract.people import Person, Role, check_new_password, person_name, role_of
from worker.store import passwords
from worker.store.database import Database
from worker.store.people_tables import PersonRow, SignInRow
from worker.store.tables import database_time, moment


class PeopleStore:
    """Accounts, by name."""

    database: Database

    def people(self) -> list[Person]:
        """Everybody who has an account, by name; guests are their class's."""
        accounts = select(PersonRow).where(PersonRow.role != "guest").order_by(PersonRow.name)
        with self.database.read() as session:
            rows = session.scalars(accounts)
            return [person_of(row) for row in rows]

    def person(self, name: str) -> Person:
        """One person; raises NotFound that names the nearest."""
        with self.database.read() as session:
            return person_of(person_row(session, name))

    def add_person(self, name: str, password: str, role: Role) -> Person:
        """Make an account; UserError for a name that is taken or a password that is weak."""
        name, kept = checked(name, password)
        with self.database.write() as session:
            return person_of(insert_person(session, self.database, name, kept, role))

    def set_role(self, name: str, role: Role) -> Person:
        """Give a person another role, in force from their next request on."""
        with self.database.write() as session:
            row = account_row(session, name)
            self._keep_an_admin(session, row, role == "admin" and not row.disabled)
            row.role = role
            return person_of(row)

    def set_disabled(self, name: str, disabled: bool) -> Person:
        """Shut a person out, with every session and token of theirs, or let them in again."""
        with self.database.write() as session:
            row = account_row(session, name)
            self._keep_an_admin(session, row, row.role == "admin" and not disabled)
            row.disabled = disabled
            if disabled:
                session.execute(delete(SignInRow).where(SignInRow.person == name))
            return person_of(row)

    def set_password(self, name: str, password: str, keep: str = "") -> None:
        """Give a person another password, and end their sessions but the one named `keep`."""
        check_new_password(password, name)
        kept = passwords.hashed(password)
        with self.database.write() as session:
            account_row(session, name).password = kept
            others = delete(SignInRow).where(SignInRow.person == name, SignInRow.id != keep)
            session.execute(others)

    def check_password(self, name: str, password: str) -> Person | None:
        """The person of this name and password; None also for one who is shut out."""
        with self.database.read() as session:
            row = session.get(PersonRow, name.strip().lower()[:255])
        is_right = passwords.is_right(password, row.password if row else None)
        if row is None or not is_right or row.disabled:
            return None
        if passwords.is_stale(row.password):
            kept = passwords.hashed(password)
            with self.database.write() as session:
                same = PersonRow.name == row.name, PersonRow.password == row.password
                session.execute(update(PersonRow).where(*same).values(password=kept))
        return person_of(row)

    def _keep_an_admin(self, session: Session, row: PersonRow, stays: bool) -> None:
        """Raise Conflict where nobody would be left to let people in."""
        self.database.lock(session, "admins")
        admins = (
            PersonRow.role == "admin",
            PersonRow.disabled.is_(False),
            PersonRow.name != row.name,
        )
        others = session.scalar(select(func.count()).select_from(PersonRow).where(*admins))
        if not stays and row.role == "admin" and not row.disabled and not others:
            raise Conflict(
                f"{row.name!r} is the only admin; make another person admin first, so that "
                f"somebody can let people in."
            )


def checked(name: str, password: str) -> tuple[str, str]:
    """A new person's name as it is kept, and the hash of the password."""
    name = person_name(name)
    check_new_password(password, name)
    return name, passwords.hashed(password)


def insert_person(
    session: Session, database: Database, name: str, kept: str, role: Role
) -> PersonRow:
    """Write a person with a password's hash; UserError for a name that is taken."""
    database.lock(session, f"person {name}")
    if session.get(PersonRow, name) is not None:
        raise UserError(f"There is a person {name!r} already; choose another name.", field="name")
    created = session.scalar(select(database_time())) or 0.0
    row = PersonRow(name=name, password=kept, role=role, disabled=False, created=created)
    session.add(row)
    session.flush()
    return row


def person_row(session: Session, name: str) -> PersonRow:
    """A person's row; raises NotFound that names the nearest."""
    row = session.get(PersonRow, name)
    if row is None:
        known = list(session.scalars(select(PersonRow.name).order_by(PersonRow.name)))
        raise NotFound(unknown("person", name[:50], known).message, field="name")
    return row


def account_row(session: Session, name: str) -> PersonRow:
    """The row of who has an account; raises NotFound, and Conflict for a guest of a class."""
    row = person_row(session, name)
    if row.role == "guest":
        raise Conflict(
            f"{name!r} is a guest of a class and has no account; expected a person who has one. "
            f"The class's page lets a guest go."
        )
    return row


def person_of(row: PersonRow) -> Person:
    """A row as pages show it, without the password."""
    return Person(
        name=row.name,
        role="guest" if row.role == "guest" else role_of(row.role),
        disabled=row.disabled,
        by_provider=row.password.startswith("oidc:"),
        created=moment(row.created),
    )
