"""Sessions that were signed out before they expired, and which run a submission's key has made."""

import hashlib
import json

from sqlalchemy import delete
from sqlalchemy.orm import Session

from worker.contract.errors import UserError
from worker.contract.spec import Spec
from worker.store.database import Database
from worker.store.tables import EndedSession, Submission, database_time


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


def run_of_key(session: Session, owner: str, key: str, spec: Spec) -> str | None:
    """The run that this key made before; UserError where that was of another spec."""
    found = session.get(Submission, (owner, _digest(key)))
    if found is None:
        return None
    if found.spec_hash != _digest(_plain(spec)):
        raise UserError(
            f"The key {key[:40]!r} was sent before with another spec, of which run {found.run_id} "
            f"was made; expected a new key for each submission.",
            field="Idempotency-Key",
        )
    return found.run_id


def remember_key(session: Session, owner: str, key: str, spec: Spec, run_id: str) -> None:
    """Remember that a key made a run; it is forgotten with the run."""
    session.add(
        Submission(owner=owner, key=_digest(key), spec_hash=_digest(_plain(spec)), run_id=run_id)
    )


def _plain(spec: Spec) -> str:
    return json.dumps(spec.model_dump(mode="json"), sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
