"""Write a backup, while servers and workers write what is backed up.

1. The artifacts, then one moment of the database, then the artifacts that came meanwhile: every
   file that the database names was there in that moment, and is copied before or after it. (Only a
   run that ends and is deleted within one backup may be in it without its files.)
2. The files of the data folder that cannot be made again.
3. Every hash is checked against what lies in the folder.
4. The manifest is put in place, and what it does not name is deleted.

What was backed up before and did not change is not copied again: where its place says that it did
not change (the file system's times and numbers, the object store's ETag) it is not even read.
"""

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from worker.contract.errors import Unavailable, UserError
from worker.contract.settings import Settings
from worker.store.artifacts import Artifacts
from worker.store.backup.copying import dump
from worker.store.backup.manifest import FILE, Kept, Manifest, read_manifest, write_manifest
from worker.store.backup.objects import Objects, alone
from worker.store.database import Database
from worker.store.migrate import revision

SECRET = "session.key"
MODELS = "models"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Written:
    """What a backup holds, and how much of it was new."""

    manifest: Manifest
    n_new: int
    new_bytes: int


def back_up(
    settings: Settings, folder: Path, *, models: bool = True, tell: Tell = lambda words: None
) -> Written:
    """Bring the backup in `folder` up to now; one that is interrupted leaves the one before it."""
    _refuse(settings, folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(folder), closing(Database(settings.database)) as database:
        before = read_manifest(folder) if (folder / FILE).exists() else None
        objects = Objects(folder)
        artifacts = Artifacts(settings.artifacts, settings.data.resolve() / "cache" / "artifacts")
        known = before.artifacts if before else {}
        tell("artifacts")
        first = _copy_artifacts(artifacts, objects, known)
        tell("database")
        dumped = _copy_database(database, objects, folder)
        manifest = Manifest(
            created=datetime.now(UTC),
            database="sqlite" if database.is_sqlite else "postgresql",
            revision=revision(database) or "",
            dump=dumped,
            artifacts=first | _copy_artifacts(artifacts, objects, known | first),
            **_copy_files(settings, objects, before.files if before else {}, models),
        )
        tell("checking hashes")
        if damaged := objects.damaged(manifest.named()):
            objects.forget(damaged.values())
            raise Unavailable(
                f"{len(damaged)} of the backup's files are not as they were written, the first is "
                f"{next(iter(damaged))}: the disk of {str(folder)!r} may be failing. They were "
                f"taken out; start the backup again, which copies them anew."
            )
        write_manifest(folder, manifest)
        objects.keep_only(manifest.named().values())
    return Written(manifest, objects.n_new, objects.new_bytes)


def _refuse(settings: Settings, folder: Path) -> None:
    data, place = settings.data.resolve(), folder.resolve()
    kind, _, path = settings.database.partition(":///")
    if kind == "sqlite" and not Path(path).is_file():
        raise UserError(
            f"There is nothing to back up: {str(data)!r} holds no database. Set LETHE_DATA to the "
            f"server's data folder (or LETHE_DATABASE_URL to its database)."
        )
    if place == data or data in place.parents:
        raise UserError(
            f"{str(folder)!r} lies in the data folder and would be lost with it; expected a folder "
            f"elsewhere, best on another disk.",
            field="folder",
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file; expected a folder.", field="folder")
    ours = {FILE, "objects", ".lock"}
    if folder.is_dir() and (others := {path.name for path in folder.iterdir()} - ours):
        raise UserError(
            f"{str(folder)!r} holds what is no backup ({sorted(others)[0]}); expected an empty or "
            f"new folder, or one that `lethe backup` wrote.",
            field="folder",
        )


def _copy_artifacts(
    artifacts: Artifacts, objects: Objects, known: dict[str, Kept]
) -> dict[str, Kept]:
    """Copy every artifact that is there; one that is deleted meanwhile is left out."""
    found = {}
    for name in artifacts.every():
        try:
            version = artifacts.version(name)
            before = known.get(name)
            if before and before.version == version and objects.has(before):
                found[name] = before
                continue
            with artifacts.open(name) as file:
                found[name] = objects.keep(file, version)
        except (FileNotFoundError, UserError):
            continue
    return found


def _copy_database(database: Database, objects: Objects, folder: Path) -> Kept:
    with tempfile.TemporaryDirectory(dir=folder / "objects", prefix=".") as temporary:
        copied = Path(temporary) / "database"
        dump(database, copied)
        with copied.open("rb") as file:
            return objects.keep(file)


def _copy_files(
    settings: Settings, objects: Objects, known: dict[str, Kept], models: bool
) -> dict[str, dict[str, Kept] | dict[str, str]]:
    """Copy the secret of the sessions and the models that were added."""
    data = settings.data.resolve()
    paths = [data / SECRET] if (data / SECRET).is_file() else []
    if models:
        paths += sorted((data / MODELS).rglob("*"))
    files: dict[str, Kept] = {}
    links: dict[str, str] = {}
    for path in paths:
        name = path.relative_to(data).as_posix()
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif path.is_file():
            state = path.stat()
            said = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            version = sha256(repr(said).encode()).hexdigest()[:16]
            before = known.get(name)
            if before and before.version == version and objects.has(before):
                files[name] = before
                continue
            with path.open("rb") as file:
                files[name] = objects.keep(file, version)
    return {"files": files, "links": links}
