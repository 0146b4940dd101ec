"""Put a backup back: nothing is written before all of it was found whole, the database comes last.

A restore that is interrupted has therefore left no database, and no server starts on half of it.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from worker.contract.errors import Conflict, UserError
from worker.contract.private import make_folder
from worker.contract.settings import Settings, hidden
from worker.store.artifacts import Artifacts
from worker.store.backup.copying import holds_tables, is_used, load
from worker.store.backup.manifest import Manifest, read_manifest
from worker.store.backup.objects import Objects, alone
from worker.store.database import parse_url
from worker.store.migrate import newest

LISTED = 3
"""Damaged files that are named."""
Tell = Callable[[str], None]


def check(folder: Path) -> Manifest:
    """Read a whole backup; raise UserError that names what is damaged or missing in it."""
    manifest = read_manifest(folder)
    damaged = list(Objects(folder).damaged(manifest.named()))
    if damaged:
        more = f" and {len(damaged) - LISTED} more" if len(damaged) > LISTED else ""
        raise UserError(
            f"The backup in {str(folder)!r} is damaged: {', '.join(damaged[:LISTED])}{more} is "
            f"missing or not as it was written. Nothing was changed; use another backup.",
            field="folder",
        )
    if manifest.revision > newest():
        raise UserError(
            f"The backup in {str(folder)!r} has tables of revision {manifest.revision}; this Lethe "
            f"knows up to {newest()}. Install the newer Lethe that made it.",
            field="folder",
        )
    return manifest


def restore(
    settings: Settings,
    folder: Path,
    *,
    overwrite: bool = False,
    tell: Tell = lambda words: None,
) -> Manifest:
    """Put the backup in `folder` where the settings point.

    Raises UserError for a damaged one, for another kind of database, and for a place that holds
    something, unless `overwrite` is asked; what the backup does not know stays there then.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {str(folder)!r}.", field="folder")
    with alone(folder):
        tell("checking hashes")
        manifest, objects = check(folder), Objects(folder)
        artifacts = Artifacts(settings.artifacts, settings.data.resolve() / "cache" / "artifacts")
        _refuse(settings, manifest, artifacts, overwrite)
        data = settings.data.resolve()
        make_folder(data)
        tell("artifacts")
        for name, kept in manifest.artifacts.items():
            artifacts.put(name, objects.path(kept))
        shutil.rmtree(data / "cache", ignore_errors=True)
        for name, kept in manifest.files.items():
            _place(data / name)
            shutil.copyfile(objects.path(kept), data / name)
            (data / name).chmod(0o600)
        for name, target in manifest.links.items():
            _place(data / name)
            (data / name).symlink_to(target)
        tell("database")
        load(objects.path(manifest.dump), parse_url(settings.database))
    return manifest


def _refuse(settings: Settings, manifest: Manifest, artifacts: Artifacts, overwrite: bool) -> None:
    url = parse_url(settings.database)
    if url.get_backend_name() != manifest.database:
        raise UserError(
            f"The backup is of a {manifest.database} database, and {url.render_as_string()} is "
            f"none; expected one of the same kind. Set LETHE_DATABASE_URL.",
            field="database_url",
        )
    data = settings.data.resolve()
    has_tables = holds_tables(url)
    held = [f"a database ({url.render_as_string()})"] if has_tables else []
    held += [f"artifacts ({hidden(settings.artifacts)})"] if artifacts.every() else []
    names = [data / name for name in (*manifest.files, *manifest.links)]
    kept = [path for path in names if path.exists() or path.is_symlink()]
    held += [f"{path.relative_to(data).parts[0]} in {str(data)!r}" for path in kept[:1]]
    if held and not overwrite:
        raise Conflict(
            f"There is something already: {' and '.join(held)}. Nothing was changed. Name an empty "
            f"place with LETHE_DATA, LETHE_DATABASE_URL and LETHE_ARTIFACTS_URL, or give "
            f"--overwrite."
        )
    if has_tables and is_used(url):
        raise Conflict(
            "A worker runs on this database. Nothing was changed. Stop the web server and every "
            "worker, then start the restore again."
        )


def _place(path: Path) -> None:
    """Make room for a file: its folder, without what lies under its name."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
