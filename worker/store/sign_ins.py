"""The browsers in which people are signed in: kept here, so that each can be ended at once."""

from sqlalchemy import delete, select, update

from worker.contract.errors import NotFound
from worker.contract.people import Person, SignIn
from worker.store import secret_hash
from worker.store.database import Database
from worker.store.people import person_of, person_row
from worker.store.people_tables import PersonRow, SignInRow
from worker.store.tables import database_time, moment

SEEN = 60.0
"""Seconds after which it is written again that a session or token was used."""


class SignInStore:
    """Sessions of people, by the hash of their secret."""

    database: Database

    def sign_in(self, person: str, lasts: float, address: str, browser: str) -> str:
        """Begin a session of `lasts` seconds; the secret that its cookie holds."""
        secret, id = secret_hash.draw()
        with self.database.write() as session:
            person_row(session, person)
            now = session.scalar(select(database_time())) or 0.0
            session.execute(delete(SignInRow).where(SignInRow.expires < now))
            row = SignInRow(id=id, person=person, created=now, last_seen=now, expires=now + lasts)
            row.address, row.browser = address[:255], browser[:255]
            session.add(row)
        return secret

    def signed_in(self, secret: str) -> tuple[Person, SignIn] | None:
        """Who holds this secret; None where the session was ended, or its person shut out."""
        id = secret_hash.digest(secret)
        query = (
            select(PersonRow, SignInRow, database_time())
            .join(SignInRow, SignInRow.person == PersonRow.name)
            .where(SignInRow.id == id, SignInRow.expires > database_time())
        )
        with self.database.read() as session:
            found = session.execute(query).first()
        if found is None or found[0].disabled:
            return None
        person, row, now = found
        if row.last_seen < now - SEEN:
            with self.database.write() as session:
                seen = update(SignInRow).where(SignInRow.id == id).values(last_seen=now)
                session.execute(seen)
        return person_of(person), _sign_in(row)

    def is_signed_in(self, id: str) -> bool:
        """Whether a session, by its id, still lasts."""
        lasts = SignInRow.id == id, SignInRow.expires > database_time()
        with self.database.read() as session:
            return session.scalar(select(SignInRow.id).where(*lasts)) is not None

    def sign_ins(self, person: str) -> list[SignIn]:
        """A person's sessions that last, the one used last first."""
        lasts = SignInRow.person == person, SignInRow.expires > database_time()
        query = select(SignInRow).where(*lasts).order_by(SignInRow.last_seen.desc(), SignInRow.id)
        with self.database.read() as session:
            return [_sign_in(row) for row in session.scalars(query)]

    def end_sign_in(self, person: str, id: str) -> None:
        """End one of a person's sessions; raises NotFound."""
        gone = delete(SignInRow).where(SignInRow.person == person, SignInRow.id == id)
        with self.database.write() as session:
            if session.scalar(gone.returning(SignInRow.id)) is None:
                raise NotFound("There is no such session of yours; it may have ended by itself.")


def _sign_in(row: SignInRow) -> SignIn:
    return SignIn(
        id=row.id,
        person=row.person,
        created=moment(row.created),
        last_seen=moment(row.last_seen),
        expires=moment(row.expires),
        address=row.address,
        browser=row.browser,
    )
