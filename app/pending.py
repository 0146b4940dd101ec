"""Files that were brought and not yet stored as facts: whose they are, and how many there may be.

Each is kept as artifacts, under an id that holds when it came and a mark of who brought it, until
it is stored, discarded or a day old.
"""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.contract.errors import NotFound, TooMuch
from worker.contract.limits import size_text, size_words
from worker.store.store import Store

KEPT = 24 * 3600
"""Seconds after which a file that nobody stored is deleted."""
MOST = 20
"""Files of one person that may wait at once."""
MOST_BYTES = 250_000_000
"""What these and what was read of them may take together."""
_ID = re.compile(r"([0-9a-f]{1,12})-[0-9a-f]{12}-([0-9a-f]{12})")


@dataclass(frozen=True)
class Upload:
    """One uploaded file."""

    id: str
    filename: str

    @property
    def file(self) -> str:
        """The artifact's name."""
        return f"uploads/{self.id}/file"

    @property
    def understood(self) -> str:
        """The artifact with what a worker last read of it, after a line with the mappings."""
        return f"uploads/{self.id}/understood"

    @property
    def came(self) -> datetime:
        """When it was brought."""
        return datetime.fromtimestamp(int(self.id.partition("-")[0], 16), UTC)


def keep_bytes(store: Store, data: bytes, filename: str) -> Upload:
    """Keep a file's bytes until they are stored or a day old.

    Raises TooMuch for who has brought so much already that waits.
    """
    _refuse_beyond(store, len(data))
    upload = Upload(f"{int(time.time()):x}-{secrets.token_hex(6)}-{_mark(store)}", filename)
    store.artifacts.put_bytes(upload.file, data)
    store.artifacts.put_bytes(f"uploads/{upload.id}/name", upload.filename.encode())
    return upload


def find(store: Store, upload_id: str) -> Upload:
    """An upload by its id; NotFound for another's, and for one that is not (or no longer) there."""
    known = _ID.fullmatch(upload_id)
    name = f"uploads/{upload_id}/name"
    if known is None or known[2] != _mark(store) or not store.artifacts.exists(name):
        raise NotFound(
            f"There is no upload {upload_id[:40]!r}; it may have been stored already, or be older "
            f"than a day. Upload the file again."
        )
    with store.artifacts.open(name) as file:
        return Upload(upload_id, file.read().decode())


def waiting(store: Store) -> list[Upload]:
    """What this person brought and neither stored nor discarded, the last first."""
    return [find(store, id) for id in sorted(_own(store), reverse=True)]


def discard(store: Store, upload: Upload) -> None:
    """Delete an upload."""
    store.artifacts.delete_tree(f"uploads/{upload.id}")


def _refuse_beyond(store: Store, size: int) -> None:
    own = _own(store)
    held = sum(store.artifacts.size(name) for names in own.values() for name in names)
    if len(own) >= MOST:
        said = f"{len(own)} files that you brought wait to be stored, and {MOST} at once are"
    elif held + size > MOST_BYTES:
        said = (
            f"The files that you brought and that wait to be stored take {size_words(held)}, this "
            f"one {size_words(size)}, and {size_text(MOST_BYTES)} are"
        )
    else:
        return
    raise TooMuch(
        f"{said} the most. Store or discard one on the page that brings facts; each is forgotten "
        f"after a day."
    )


def _own(store: Store) -> dict[str, list[str]]:
    """The person's uploads as id -> artifacts; whoever's are too old are deleted."""
    found: dict[str, list[str]] = {}
    for name in store.artifacts.names("uploads"):
        found.setdefault(name.split("/")[1], []).append(name)
    oldest, mark = time.time() - KEPT, _mark(store)
    own = {}
    for id, names in found.items():
        known = _ID.fullmatch(id)
        if known is None or int(known[1], 16) < oldest:
            store.artifacts.delete_tree(f"uploads/{id}")
        elif known[2] == mark and f"uploads/{id}/name" in names:
            own[id] = names
    return own


def _mark(store: Store) -> str:
    return hashlib.sha256(store.acting.person.encode()).hexdigest()[:12]
