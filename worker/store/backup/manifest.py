"""What a backup's folder holds: one manifest, and the bytes that it names by their hash.

    backup.json       the manifest, put in place when everything in it was verified
    objects/ab/abcd…  bytes under their SHA-256

A backup that is interrupted leaves the manifest before it, and every byte that it names.
"""

import json
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from worker.contract.base import Contract
from worker.contract.errors import UserError
from worker.contract.private import write_whole

FILE = "backup.json"


def _inside(name: str) -> str:
    """Refuse a name that leads out of the folder that it belongs in."""
    if name.startswith("/") or ".." in PurePosixPath(name).parts or not name:
        raise ValueError("expected a relative path without '..'")
    return name


Name = Annotated[str, AfterValidator(_inside)]


class Kept(Contract):
    """Bytes that the backup holds."""

    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Their SHA-256."""
    size: int
    version: str = ""
    """What their place said of them when they were read; the same again: they are not read again.
    """


class Manifest(Contract):
    """A whole backup."""

    format: Literal[1] = 1
    created: datetime
    database: Literal["sqlite", "postgresql"]
    revision: str
    """Of the tables."""
    dump: Kept
    """A SQLite file, or what `pg_dump --format=custom` writes."""
    artifacts: dict[Name, Kept]
    files: dict[Name, Kept]
    """Of the data folder: added models and the secret that signs sessions."""
    links: dict[Name, str] = {}
    """Of the data folder: where symbolic links point, for a model that was added by its folder."""

    def named(self) -> dict[str, Kept]:
        """Everything that it holds, under the name in which a reader would look for it."""
        return {
            "the database": self.dump,
            **{f"artifact {name}": kept for name, kept in self.artifacts.items()},
            **{f"file {name}": kept for name, kept in self.files.items()},
        }


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in place, whole, with the hash of itself."""
    body = manifest.model_dump(mode="json")
    text = json.dumps({"sha256": _hash(body), "backup": body}, indent=1, sort_keys=True)
    write_whole(folder / FILE, text.encode())


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's manifest; raise UserError for a folder that has none, or a damaged one."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"{str(folder)!r} holds no whole backup ({FILE} is missing); expected a folder that "
            f"`lethe backup` wrote to its end.",
            field="folder",
        )
    try:
        found = json.loads(path.read_bytes())
        if found["sha256"] != _hash(found["backup"]):
            raise ValueError("its content has not the hash that it names")
        return Manifest.model_validate(found["backup"])
    except (ValueError, KeyError, TypeError) as error:
        why = f"{error.errors()[0]['msg']}" if isinstance(error, ValidationError) else str(error)
        raise UserError(
            f"The backup in {str(folder)!r} is damaged: {FILE} cannot be read ({why}). Nothing "
            f"was changed; use another backup.",
            field="folder",
        ) from None


def _hash(body: object) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
