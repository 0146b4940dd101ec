"""Whether the store can be used now, in sentences that a stranger may read: they name no path."""

import logging
import os
from uuid import uuid4

from worker.store.artifacts import Artifacts
from worker.store.migrate import newest, revision
from worker.store.store import Store
from worker.store.trouble import trouble

log = logging.getLogger(__name__)
PLACE = "readiness"
"""Where a file is written for a moment."""


def hindrances(store: Store) -> list[tuple[str, str]]:
    """What keeps requests from being served, each with the part that it is of; empty: nothing."""
    found = [("database", _of_database(store)), ("artifacts", _of_artifacts(store.artifacts))]
    return [(part, words) for part, words in found if words]


def try_artifacts(artifacts: Artifacts) -> None:
    """Write, read and delete a file; raises what the place of the artifacts raises."""
    name = f"{PLACE}/.{uuid4().hex}"
    artifacts.put_bytes(name, b"x")
    with artifacts.open(name) as file:
        assert file.read() == b"x", "what was written is what is read"
    artifacts.delete_tree(name)


def _of_database(store: Store) -> str:
    try:
        found = revision(store.database)
    except Exception as error:
        if words := trouble(error):
            return words
        raise
    if found == newest():
        return ""
    cure = "Start Lethe again, which makes them." if (found or "") < newest() else "Install it."
    needed = newest() if (found or "") < newest() else f"the newer Lethe that made {found}"
    return f"The tables are of revision {found or 'none'}; this server needs {needed}. {cure}"


def _of_artifacts(artifacts: Artifacts) -> str:
    try:
        try_artifacts(artifacts)
    # Every kind of store has exceptions of its own, and all mean that it cannot be used.
    except Exception as error:
        log.warning("The artifacts cannot be used: %s", error)
        cause = error if isinstance(error, OSError) else error.__context__
        code = cause.errno if isinstance(cause, OSError) else None
        why = os.strerror(code) if code else type(error).__name__
        return (
            f"The artifacts cannot be written and read back ({why}). `lethe doctor` on the "
            f"server says more."
        )
    return ""
