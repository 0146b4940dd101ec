"""What workers announced, read once: an announcement is large, and every request asks for it."""

import threading
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.contract.menu import Announcement
from worker.store.tables import WorkerRow

Stamp = tuple[str, float | None]
"""A worker's id and the moment at which it announced."""


KEPT = 32
"""Workers whose announcements are kept in memory: those asked for last."""


class Menus:
    """The newest announcement of each worker. Usable from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float | None, Announcement]] = {}

    def of(self, session: Session, stamps: Iterable[Stamp]) -> dict[str, Announcement]:
        """Each worker's announcement; only those not known yet are read from the database.

        One that was withdrawn meanwhile is absent.
        """
        asked = list(stamps)
        with self._lock:
            known = {id: self._read[id] for id, at in asked if self._read.get(id, (0,))[0] == at}
        if missing := [id for id, _ in asked if id not in known]:
            query = select(WorkerRow.id, WorkerRow.announced, WorkerRow.announcement)
            for row in session.execute(query.where(WorkerRow.id.in_(missing))):
                if row.announcement is not None:
                    said = Announcement.model_validate(row.announcement)
                    known[row.id] = row.announced, said
        with self._lock:
            for id in known:
                self._read.pop(id, None)
            self._read |= known
            for id in list(self._read)[:-KEPT]:
                del self._read[id]
        return {id: known[id][1] for id, _ in asked if id in known}
