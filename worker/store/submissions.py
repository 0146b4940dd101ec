"""Which run a submission's key has made, so that one that is sent twice makes one run."""

import hashlib
import json

from sqlalchemy.orm import Session

from worker.contract.errors import UserError
from worker.contract.spec import Spec
from worker.store.acting import Acting
from worker.store.database import Database
from worker.store.tables import Submission

LONGEST_KEY = 255


class SubmissionStore:
    """Keys that were sent with submissions, by owner."""

    database: Database
    acting: Acting

    def submitted(self, owner: str, key: str, spec: Spec) -> str | None:
        """The run that this key made of this spec; UserError where it was of another spec."""
        with self.database.read() as session:
            return run_of_key(session, owner or self.acting.person, key, spec)


def run_of_key(session: Session, owner: str, key: str, spec: Spec) -> str | None:
    """The run that this key made before; UserError for a key that is none, or of another spec."""
    if len(key) > LONGEST_KEY:
        raise UserError(
            f"The key has {len(key)} characters; expected at most {LONGEST_KEY}, for example a "
            f"UUID.",
            field="Idempotency-Key",
        )
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
    spec_hash = _digest(_plain(spec))
    session.add(Submission(owner=owner, key=_digest(key), spec_hash=spec_hash, run_id=run_id))


def _plain(spec: Spec) -> str:
    return json.dumps(spec.model_dump(mode="json"), sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
