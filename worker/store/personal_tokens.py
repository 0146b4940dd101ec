"""Personal tokens of scripts: named, expiring, shown once."""

from sqlalchemy import delete, select, update

from worker.contract.errors import NotFound, UserError
from worker.contract.people import Person, PersonalToken
from worker.store import secret_hash
from worker.store.database import Database
from worker.store.people import account_row, person_of
from worker.store.people_tables import PersonalTokenRow, PersonRow
from worker.store.sign_ins import SEEN
from worker.store.tables import database_time, moment

BEGINS = "lethe_"
"""How a token begins, so that it is known where it should not stand."""
MOST = 50
"""Tokens of one person."""
LONGEST_NAME = 100


class TokenStore:
    """Tokens of people, by their hash."""

    database: Database

    def make_token(self, person: str, name: str, lasts: float) -> str:
        """Make a token for `lasts` seconds; the token itself, which is kept nowhere."""
        name = name.strip()
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise UserError(
                f"{name[:40]!r} is no name for a token; expected 1 to {LONGEST_NAME} characters "
                f"that say where it is used.",
                field="name",
            )
        secret, id = secret_hash.draw(BEGINS)
        with self.database.write() as session:
            account_row(session, person)
            now = session.scalar(select(database_time())) or 0.0
            over = PersonalTokenRow.expires < now
            session.execute(delete(PersonalTokenRow).where(over))
            own = select(PersonalTokenRow.id).where(PersonalTokenRow.person == person)
            if len(session.scalars(own).all()) >= MOST:
                raise UserError(f"There are {MOST} tokens already; revoke one first.", field="name")
            row = PersonalTokenRow(id=id, person=person, name=name, created=now)
            row.expires, row.last_used = now + lasts, None
            session.add(row)
        return secret

    def tokens(self, person: str) -> list[PersonalToken]:
        """A person's tokens that hold, the newest first."""
        holds = PersonalTokenRow.person == person, PersonalTokenRow.expires > database_time()
        query = select(PersonalTokenRow).where(*holds)
        order = PersonalTokenRow.created.desc(), PersonalTokenRow.id
        with self.database.read() as session:
            return [_token(row) for row in session.scalars(query.order_by(*order))]

    def person_of_token(self, secret: str) -> tuple[Person, str] | None:
        """Whose token this is, and its id; None where it does not hold or its person is out."""
        id = secret_hash.digest(secret)
        query = (
            select(PersonRow, PersonalTokenRow.last_used, database_time())
            .join(PersonalTokenRow, PersonalTokenRow.person == PersonRow.name)
            .where(PersonalTokenRow.id == id, PersonalTokenRow.expires > database_time())
        )
        with self.database.read() as session:
            found = session.execute(query).first()
        if found is None or found[0].disabled:
            return None
        person, used, now = found
        if used is None or used < now - SEEN:
            with self.database.write() as session:
                same = PersonalTokenRow.id == id
                session.execute(update(PersonalTokenRow).where(same).values(last_used=now))
        return person_of(person), id

    def token_holds(self, id: str) -> bool:
        """Whether a token, by its id, may still be used."""
        query = (
            select(PersonalTokenRow.id)
            .join(PersonRow, PersonRow.name == PersonalTokenRow.person)
            .where(PersonalTokenRow.id == id, PersonalTokenRow.expires > database_time())
            .where(PersonRow.disabled.is_(False))
        )
        with self.database.read() as session:
            return session.scalar(query) is not None

    def revoke_token(self, person: str, id: str) -> None:
        """Let one of a person's tokens be worth nothing; raises NotFound."""
        gone = delete(PersonalTokenRow).where(
            PersonalTokenRow.person == person, PersonalTokenRow.id == id
        )
        with self.database.write() as session:
            if session.scalar(gone.returning(PersonalTokenRow.id)) is None:
                raise NotFound("There is no such token of yours; it may have expired.")


def _token(row: PersonalTokenRow) -> PersonalToken:
    return PersonalToken(
        id=row.id,
        person=row.person,
        name=row.name,
        created=moment(row.created),
        expires=moment(row.expires),
        last_used=None if row.last_used is None else moment(row.last_used),
    )
