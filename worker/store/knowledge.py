"""Which run measured what a model knows of a fact set: by contents, so that none does so twice."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, delete, select

from worker.store.database import Database
from worker.store.tables import KnowledgeRow, Run

_LOST = ("failed", "cancelled")


class KnowledgeStore:
    """Runs of the evaluation `knowledge`, found by weights, edits and facts."""

    database: Database

    def knowledge_run(
        self, set_hash: str, edits: Sequence[str], *, model: str = "", weights_hash: str = ""
    ) -> str | None:
        """The run that measured these facts on these weights, or else on the model of this name.

        A run that failed or was cancelled is none; one that waits or is computed is.
        """
        which = KnowledgeRow.weights_hash == weights_hash
        if not weights_hash:
            which = KnowledgeRow.model == model
        with self.database.read() as session:
            return session.scalar(_newest(which, set_hash, edits))

    def remember_knowledge(
        self,
        run_id: str,
        set_hash: str,
        edits: Sequence[str],
        *,
        model: str,
        weights_hash: str,
        in_place_of: str | None = None,
    ) -> str:
        """Remember that a run measures these facts on these weights, unless another does already.

        Returns the run that measures them from now on. `in_place_of` is a run that turned out not
        to, and gives way. Of several who ask at once the first one's run stands.
        """
        key = {"weights_hash": weights_hash, "edits": _key(edits), "set_hash": set_hash}
        with self.database.write() as session:
            self.database.lock(session, f"knowledge {weights_hash} {set_hash}")
            standing = session.scalar(
                _newest(KnowledgeRow.weights_hash == weights_hash, set_hash, edits)
            )
            if standing not in (None, in_place_of):
                return str(standing)
            session.execute(delete(KnowledgeRow).filter_by(**key))
            session.add(KnowledgeRow(**key, model=model, run_id=run_id))
        return run_id


def _newest(which: ColumnElement[bool], set_hash: str, edits: Sequence[str]) -> Select[str]:
    """The newest run on `which` weights that is not lost."""
    return (
        select(KnowledgeRow.run_id)
        .join(Run, Run.id == KnowledgeRow.run_id)
        .where(which, KnowledgeRow.set_hash == set_hash, KnowledgeRow.edits == _key(edits))
        .where(Run.state.not_in(_LOST))
        .order_by(Run.created.desc())
        .limit(1)
    )


def _key(edits: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(edits).encode()).hexdigest() if edits else ""
