"""What workers announced, read once: an announcement is large, and every request asks for it."""

import threading
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.contract.menu import Announcement
from worker.store.tables import WorkerRow

Stamp = tuple[str, float | None]
"""A worker's id and the moment at which it announced."""


class Menus:
    """Announcements by their stamps. Usable from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[Stamp, Announcement] = {}

    def of(self, session: Session, stamps: Iterable[Stamp]) -> dict[str, Announcement]:
        """Each worker's announcement; only those not known yet are read from the database.

        One that was withdrawn meanwhile is absent. All others are forgotten.
        """
        asked = list(stamps)
        with self._lock:
            known = {one: self._read[one] for one in asked if one in self._read}
        if missing := [id for id, _ in asked if not any(id == one for one, _ in known)]:
            query = select(WorkerRow.id, WorkerRow.announced, WorkerRow.announcement)
            for row in session.execute(query.where(WorkerRow.id.in_(missing))):
                if row.announcement is not None:
                    said = Announcement.model_validate(row.announcement)
                    known[row.id, row.announced] = said
        with self._lock:
            self._read = known
        by_id = {id: said for (id, _), said in known.items()}
        return {id: by_id[id] for id, _ in asked if id in by_id}
