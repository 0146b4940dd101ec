"""Sessions that were signed out before they expired."""

from sqlalchemy import delete

from worker.store.database import Database
from worker.store.tables import EndedSession, database_time


class SessionStore:
    """What is remembered of browsers' sessions: only those that may not be used any more."""

    database: Database

    def end_session(self, nonce: str, until: float) -> None:
        """Let a session's cookie be worth nothing, to the time at which it expires by itself."""
        with self.database.write() as session:
            session.execute(delete(EndedSession).where(EndedSession.until < database_time()))
            session.merge(EndedSession(nonce=nonce, until=until))

    def is_ended(self, nonce: str) -> bool:
        """Whether a session was signed out."""
        with self.database.read() as session:
            return session.get(EndedSession, nonce) is not None
