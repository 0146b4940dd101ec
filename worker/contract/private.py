"""Folders and files that no other user of the machine can read, and secrets that are whole."""

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from worker.contract.disk import PASSING, disk_trouble
from worker.contract.errors import Unavailable, UserError

log = logging.getLogger(__name__)

OTHERS = 0o077
"""The rights of everybody but the owner."""
OWN = frozenset({"session.key", "lethe.sqlite", "artifacts", "models", "logs", "work", "cache"})
"""What lies in a data folder; one of these says that the folder is Lethe's."""
_STICKY = 0o1000


def keep_private() -> None:
    """Let this process and its children make files for their owner alone."""
    os.umask(OTHERS)


def make_folder(folder: Path) -> None:
    """Make a folder that others cannot enter, or take the others' rights to it away.

    Raises UserError where that cannot be: it belongs to somebody else, its file system knows no
    rights, or it holds what is not Lethe's, which others may need; Unavailable on a full disk.
    """
    try:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        if is_open(folder):
            _refuse_foreign(folder)
            _close(folder)
    except OSError as error:
        _raise_passing(error, folder)
        raise UserError(
            f"The folder {str(folder)!r} cannot be used: {error.strerror}. Name another, in which "
            f"this user may write, with LETHE_DATA."
        ) from None


def make_file(path: Path) -> None:
    """Make an empty file that others cannot read, or take the others' rights to it away."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if is_open(path):
            _close(path)
    except OSError as error:
        _raise_passing(error, path)
        raise UserError(f"The file {str(path)!r} cannot be used: {error.strerror}.") from None


def is_open(path: Path) -> bool:
    """Whether anybody but the owner has a right to a file or folder."""
    return os.name == "posix" and bool(path.stat().st_mode & OTHERS)


def secret(path: Path, n_bytes: int = 32) -> bytes:
    """Read a secret, or make it: other processes see the whole of it, or none.

    One that is not whole, as a full disk leaves it, is replaced and that is logged: part of a
    secret can be guessed. Raises UserError where it can be neither read nor written, and
    Unavailable on a full disk.
    """
    try:
        found = path.read_bytes() if path.exists() else None
        if found is not None and len(found) == n_bytes:
            make_file(path)
            return found
        if found is not None:
            log.warning(
                "%s held %d of %d bytes and was replaced: what was signed with it is void",
                path,
                len(found),
                n_bytes,
            )
        write_whole(path, secrets.token_bytes(n_bytes), replace=found is not None)
        return path.read_bytes()
    except OSError as error:
        _raise_passing(error, path)
        raise UserError(
            f"The secret {str(path)!r} cannot be read or written: {error.strerror}. Mend its "
            f"rights, and start again."
        ) from None


def write_whole(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a private file beside `path`, and put it there when it is whole and on the disk.

    Without `replace` a file that somebody put there meanwhile stays. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _put_first(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _raise_passing(error: OSError, path: Path) -> None:
    """Raise Unavailable for what no setting mends and may pass, for example a full disk."""
    if error.errno in PASSING:
        error.filename = error.filename or str(path)
        raise Unavailable(disk_trouble(error)) from None


def _put_first(temporary: Path, path: Path) -> None:
    """Name a file `path` unless there is one: of several makers the first one's stays."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_foreign(folder: Path) -> None:
    """Raise UserError for a folder that was not made for Lethe: it is not ours to close."""
    mode = folder.stat().st_mode
    names = {path.name for path in folder.iterdir()} - {"lost+found"}
    if mode & _STICKY or (names and not names & OWN):
        raise UserError(
            f"Other users can enter the folder {str(folder)!r} (mode {mode & 0o7777:04o}), and it "
            f"holds what is not Lethe's; expected a folder for Lethe alone, since its secrets lie "
            f"there. Name a new one with LETHE_DATA, or close this one with `chmod 700`."
        )


def _close(path: Path) -> None:
    mode = path.stat().st_mode & 0o7777
    with suppress(PermissionError):
        path.chmod(mode & ~OTHERS)
    if is_open(path):
        raise UserError(
            f"Other users can read {str(path)!r} (mode {mode:04o}), and that cannot be changed: it "
            f"belongs to another user, or its file system knows no rights. Name a folder of this "
            f"user's on a local disk with LETHE_DATA."
        )
