"""Who changed what, when, and from where. Entries are added and read, never changed."""

from collections.abc import Iterator

from sqlalchemy import func, insert, select

from worker.contract.people import AuditEntry
from worker.store.database import Database
from worker.store.people_tables import AuditRow
from worker.store.tables import database_time, moment

LONGEST = 2000
"""Characters that are kept of what a change was about."""
AT_ONCE = 1000


class AuditStore:
    """The log of changes."""

    database: Database

    def note(self, person: str, what: str, about: str, address: str) -> None:
        """Add an entry."""
        with self.database.write() as session:
            values = {"person": person[:255], "what": what[:255], "address": address[:255]}
            entry = insert(AuditRow).values(**values, about=about[:LONGEST], at=database_time())
            session.execute(entry)

    def audit(
        self, person: str = "", limit: int = 50, offset: int = 0, before: int | None = None
    ) -> list[AuditEntry]:
        """Entries (of a person), the newest first; those with an id under `before`."""
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit).offset(offset)
        if person:
            query = query.where(AuditRow.person == person)
        if before is not None:
            query = query.where(AuditRow.id < before)
        with self.database.read() as session:
            return [_entry(row) for row in session.scalars(query)]

    def count_audit(self, person: str = "") -> int:
        """How many entries there are (of a person)."""
        query = select(func.count()).select_from(AuditRow)
        if person:
            query = query.where(AuditRow.person == person)
        with self.database.read() as session:
            return session.scalar(query) or 0

    def whole_audit(self, person: str = "") -> Iterator[AuditEntry]:
        """Every entry (of a person), the newest first, read a part at a time."""
        before: int | None = None
        while found := self.audit(person, AT_ONCE, before=before):
            yield from found
            before = found[-1].id


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=moment(row.at),
        person=row.person,
        what=row.what,
        about=row.about,
        address=row.address,
    )
