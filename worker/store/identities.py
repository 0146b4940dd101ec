"""People who sign in by a provider of OpenID Connect: found by issuer and subject, by nothing else.

Who signs in so has no password: in its place stands which identity is theirs. A new password, which
an admin can set, takes its place, and the provider opens the account no longer.
"""

import hashlib
import re
from itertools import count

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.contract.errors import Conflict
from worker.contract.people import Person, Role, person_name
from worker.store.database import Database
from worker.store.people import account_row, insert_person, person_of
from worker.store.people_tables import PersonRow

LONGEST_WISH = 30
"""Characters that are taken of a name from outside."""


def identity(issuer: str, subject: str) -> str:
    """What stands in a password's place: a provider's name for somebody, which it never reuses."""
    both = f"{issuer}\n{subject}"
    return f"oidc:{hashlib.sha256(both.encode()).hexdigest()}"


class IdentityStore:
    """Accounts, by identity."""

    database: Database

    def person_of_identity(self, kept: str) -> Person | None:
        """The person of an identity, also one who is shut out."""
        with self.database.read() as session:
            row = _row(session, kept)
            return person_of(row) if row is not None else None

    def add_by_identity(self, wish: str, kept: str, role: Role) -> Person:
        """Make an account for an identity, or give the one that it has."""
        with self.database.write() as session:
            return person_of(insert_by_identity(session, self.database, wish, kept, role))

    def link(self, name: str, kept: str) -> None:
        """Let a person sign in by a provider from now on; Conflict where another does."""
        with self.database.write() as session:
            self.database.lock(session, kept)
            row = _row(session, kept)
            if row is not None and row.name != name:
                raise Conflict(f"This identity opens the account {row.name!r} already.")
            account_row(session, name).password = kept


def insert_by_identity(
    session: Session, database: Database, wish: str, kept: str, role: Role
) -> PersonRow:
    """Write a person of an identity under the free name nearest to a wish, unless there is one."""
    database.lock(session, kept)
    row = _row(session, kept)
    return row or insert_person(session, database, _free(session, wish), kept, role)


def _row(session: Session, kept: str) -> PersonRow | None:
    return session.scalar(select(PersonRow).where(PersonRow.password == kept))


def _free(session: Session, wish: str) -> str:
    plain = re.sub(r"[^a-z0-9._-]+", "-", wish.lower())
    name = plain.lstrip("0123456789._-")[:LONGEST_WISH].rstrip("._-") or "person"
    taken = set(session.scalars(select(PersonRow.name).where(PersonRow.name.startswith(name))))
    tries = (name if n == 1 else f"{name}-{n}" for n in count(1))
    return person_name(next(one for one in tries if one not in taken))
