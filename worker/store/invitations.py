"""Invitations: a secret link with which one person makes their own account."""

from sqlalchemy import Select, delete, select

from worker.contract.errors import NotFound
from worker.contract.people import Invitation, Person, Role, role_of
from worker.store import secret_hash
from worker.store.database import Database
from worker.store.identities import insert_by_identity
from worker.store.people import checked, insert_person, person_of
from worker.store.people_tables import InvitationRow
from worker.store.tables import database_time, moment

_GONE = (
    "This invitation does not hold: it was used, withdrawn, or has expired. Ask an admin of this "
    "server for another."
)


class InvitationStore:
    """Invitations, by the hash of their secret."""

    database: Database

    def invite(self, role: Role, lasts: float, made_by: str) -> str:
        """Make an invitation for `lasts` seconds; the secret that its link holds."""
        secret, id = secret_hash.draw()
        with self.database.write() as session:
            now = session.scalar(select(database_time())) or 0.0
            row = InvitationRow(id=id, role=role, created=now, expires=now + lasts)
            row.made_by, row.used_by = made_by, ""
            session.add(row)
        return secret

    def invitations(self) -> list[Invitation]:
        """Every invitation that can be used, the newest first."""
        usable = InvitationRow.used_by == "", InvitationRow.expires > database_time()
        query = select(InvitationRow).where(*usable)
        with self.database.read() as session:
            rows = session.scalars(query.order_by(InvitationRow.created.desc(), InvitationRow.id))
            return [_invitation(row) for row in rows]

    def invitation(self, secret: str) -> Invitation:
        """The invitation of a link; raises NotFound for one that does not hold."""
        with self.database.read() as session:
            row = session.scalar(_usable(secret))
        if row is None:
            raise NotFound(_GONE)
        return _invitation(row)

    def accept(self, secret: str, name: str, password: str) -> Person:
        """Make the account that a link invites to; of two who use it at once, one does."""
        self.invitation(secret)  # before a hash is computed for whoever asks
        name, kept = checked(name, password)
        with self.database.write() as session:
            row = session.scalar(_usable(secret).with_for_update())
            if row is None:
                raise NotFound(_GONE)
            row.used_by = name
            person = insert_person(session, self.database, name, kept, role_of(row.role))
            return person_of(person)

    def accept_by_identity(self, secret: str, wish: str, kept: str) -> Person:
        """Make the account that a link invites to, for who signs in by a provider."""
        with self.database.write() as session:
            row = session.scalar(_usable(secret).with_for_update())
            if row is None:
                raise NotFound(_GONE)
            role = role_of(row.role)
            person = insert_by_identity(session, self.database, wish, kept, role)
            row.used_by = person.name
            return person_of(person)

    def withdraw(self, id: str) -> None:
        """Let an unused invitation hold no longer; raises NotFound."""
        gone = delete(InvitationRow).where(InvitationRow.id == id, InvitationRow.used_by == "")
        with self.database.write() as session:
            if session.scalar(gone.returning(InvitationRow.id)) is None:
                raise NotFound("There is no such invitation that could still be used.")


def _usable(secret: str) -> Select[InvitationRow]:
    return select(InvitationRow).where(
        InvitationRow.id == secret_hash.digest(secret),
        InvitationRow.used_by == "",
        InvitationRow.expires > database_time(),
    )


def _invitation(row: InvitationRow) -> Invitation:
    return Invitation(
        id=row.id,
        role=role_of(row.role),
        created=moment(row.created),
        expires=moment(row.expires),
        made_by=row.made_by,
        used_by=row.used_by,
    )
