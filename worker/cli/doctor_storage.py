"""What `lethe doctor` says of where things are kept: folder, secrets, database, artifacts, port."""

import http.client
import json
import shutil
import socket
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from worker.cli.finding import Finding
from worker.contract.errors import UserError
from worker.contract.private import make_folder
from worker.contract.secret_files import exposed
from worker.contract.settings import Settings, hidden, weakness
from worker.store.artifacts import Artifacts
from worker.store.database import Database
from worker.store.migrate import newest, revision
from worker.store.readiness import try_artifacts


def look_at_folder(settings: Settings) -> Finding:
    """Whether the data folder can be written, is closed to others and has room."""
    folder = settings.data.resolve()
    try:
        make_folder(folder)
        _write_and_delete(folder)
        for inside in ("artifacts", "models", "logs", "cache", "work"):
            if (folder / inside).is_dir():
                _write_and_delete(folder / inside)
    except UserError as error:
        return Finding(False, f"data folder {folder}", error.message)
    except OSError as error:
        where = Path(error.filename or folder).parent
        return Finding(False, f"data folder {where}: {error.strerror}", "Set LETHE_DATA.")
    free = shutil.disk_usage(folder).free / 1e9
    if free < 1:
        return Finding(False, f"data folder {folder}: {free:.1f} GB free", "Free some space.")
    return Finding(True, f"data folder {folder}: writable, {free:.0f} GB free")


def look_at_secrets(settings: Settings) -> Finding:
    """Whether the key of the sessions is whole, and the token no word that can be guessed."""
    key = settings.data / "session.key"
    if key.exists() and key.stat().st_size != 32:
        return Finding(
            False,
            f"{key} holds {key.stat().st_size} of 32 bytes",
            "The next start makes another one, and everybody signs in again.",
        )
    if words := weakness(settings):
        return Finding(False, words, "Choose another; no server starts with this one.")
    if sentences := exposed(settings):
        return Finding(False, ". ".join(sentences))
    return Finding(True, "secrets: whole, and readable for this user alone")


def look_at_database(settings: Settings) -> Finding:
    """Whether the database answers, and is of this Lethe's revision."""
    kind, _, path = settings.database.partition(":///")
    if kind == "sqlite" and not Path(path).exists():
        return Finding(True, f"database: none yet at {path}; the first start makes it")
    try:
        database = Database(settings.database)
        try:
            found = revision(database)
        finally:
            database.close()
    except UserError as error:
        return Finding(False, f"database: {error.message}", "Check LETHE_DATABASE_URL.")
    except SQLAlchemyError as error:
        reason = hidden(str(error.__cause__ or error).splitlines()[0])
        return Finding(False, f"database: {reason}", "Check LETHE_DATABASE_URL.")
    what = f"database answers ({database.url.get_backend_name()}, revision {found or 'none yet'})"
    if found is not None and found > newest():
        return Finding(
            False, f"{what}; this Lethe knows up to {newest()}", "Install the newer Lethe."
        )
    return Finding(True, what if found == newest() else f"{what}; the next start brings {newest()}")


def look_at_artifacts(settings: Settings) -> Finding:
    """Whether what is stored can be written, read and deleted."""
    what = f"artifacts at {hidden(settings.artifacts)}"
    try:
        cache = settings.data.resolve() / "cache" / "artifacts"
        try_artifacts(Artifacts(settings.artifacts, cache))
    except UserError as error:
        return Finding(False, f"{what}: {error.message}", "Check LETHE_ARTIFACTS_URL.")
    # Every kind of store has exceptions of its own, and all mean that it cannot be used.
    except Exception as error:
        words = hidden(str(error).splitlines()[0] if str(error) else type(error).__name__)
        return Finding(False, f"{what}: {words}", "Check LETHE_ARTIFACTS_URL.")
    return Finding(True, f"{what}: written, read and deleted")


def look_at_port(settings: Settings) -> Finding:
    """Whether the web server could listen, or is this Lethe already."""
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        if _is_lethe(settings):
            return Finding(True, f"port {where}: a Lethe answers there")
        return Finding(
            False,
            f"port {where}: {error.strerror}",
            "Choose another with LETHE_PORT (0 takes a free one) or LETHE_HOST.",
        )
    return Finding(True, f"port {where}: free")


def _is_lethe(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    connection = http.client.HTTPConnection(host, settings.port, timeout=3)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        answer = json.loads(connection.getresponse().read(10_000))
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return isinstance(answer, dict) and "workers_ready" in answer


def _write_and_delete(folder: Path) -> None:
    probe = folder / ".doctor"
    probe.write_text("x")
    probe.unlink()
