"""The bytes of a backup, each under its SHA-256: what is there already is not written again."""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from worker.contract.errors import Conflict
from worker.store.backup.manifest import Kept

PIECE = 1 << 20
"""Bytes that are read at once."""


class Objects:
    """The bytes in a backup's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "objects"
        self.n_new = self.new_bytes = 0
        """What was written since this was made."""

    def keep(self, source: BinaryIO, version: str = "") -> Kept:
        """Keep what can be read of `source`; a reader finds it whole, or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._folder / f".{uuid4().hex}"
        digest, size = hashlib.sha256(), 0
        try:
            with part.open("xb") as file:
                while piece := source.read(PIECE):
                    digest.update(piece)
                    size += file.write(piece)
                kept = Kept(hash=digest.hexdigest(), size=size, version=version)
                path = self.path(kept)
                if path.is_file():
                    return kept
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(exist_ok=True, mode=0o700)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self.n_new, self.new_bytes = self.n_new + 1, self.new_bytes + size
        return kept

    def path(self, kept: Kept) -> Path:
        """Where bytes lie."""
        return self._folder / kept.hash[:2] / kept.hash

    def has(self, kept: Kept) -> bool:
        """Whether bytes are there, by their name and number."""
        path = self.path(kept)
        return path.is_file() and path.stat().st_size == kept.size

    def damaged(self, named: Mapping[str, Kept]) -> dict[str, Kept]:
        """Read all that `named` names; return what is missing or not what its hash says."""
        seen: dict[str, bool] = {}
        for kept in named.values():
            if kept.hash not in seen:
                seen[kept.hash] = self._is_whole(kept)
        return {name: kept for name, kept in named.items() if not seen[kept.hash]}

    def forget(self, damaged: Iterable[Kept]) -> None:
        """Delete bytes that are damaged, so that they are copied again."""
        for kept in damaged:
            self.path(kept).unlink(missing_ok=True)

    def keep_only(self, named: Iterable[Kept]) -> None:
        """Delete what is not named, as well as what an interrupted backup began to write."""
        wanted = {kept.hash for kept in named}
        for path in self._folder.rglob("*"):
            if path.is_file() and path.name not in wanted:
                path.unlink()

    def _is_whole(self, kept: Kept) -> bool:
        try:
            with self.path(kept).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == kept.hash
        except OSError:
            return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a backup's folder against other backups and restores; raise Conflict where one runs."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"Another `lethe backup` or `lethe restore` uses {str(folder)!r}; wait for it, or "
                f"name another folder."
            ) from None
        yield
