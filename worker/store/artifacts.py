"""Arrays, deltas and uploads: files in a folder or under any fsspec URL, by name."""

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from worker.contract.errors import NotFound, UserError
from worker.contract.private import make_file
from worker.contract.settings import hidden


class Artifacts:
    """Named files under one URL.

    `cache` is a local folder for copies of remote files, the ones used last, of at most `most`
    bytes together and one more.
    """

    def __init__(self, url: str, cache: Path, most: int = 10**10) -> None:
        self._files, self._root = _open(url)
        self._is_local = isinstance(self._files, LocalFileSystem)
        self._cache, self._most = cache, most

    def put(self, name: str, local_path: Path) -> None:
        """Store a copy of a local file; a reader sees the old file or the new one, whole."""
        path = self._path(name)
        if not self._is_local:
            self._files.put_file(str(local_path), path)
            return
        with _replacing(Path(path)) as temporary:
            shutil.copyfile(local_path, temporary)

    def put_bytes(self, name: str, data: bytes) -> None:
        """Store bytes under a name."""
        path = self._path(name)
        if not self._is_local:
            self._files.pipe_file(path, data)
            return
        with _replacing(Path(path)) as temporary:
            temporary.write_bytes(data)

    def open(self, name: str) -> BinaryIO:
        """Open an artifact for reading; raise NotFound when there is none."""
        try:
            return cast(BinaryIO, self._files.open(self._path(name), "rb"))
        except (FileNotFoundError, IsADirectoryError):
            raise _missing(name) from None

    def local(self, name: str) -> Path:
        """A local path with the artifact's bytes: the file itself, or a cached copy of it.

        A copy may go when others are fetched; `held` gives one that stays.
        """
        if self._is_local:
            path = Path(self._path(name))
            if not path.is_file():
                raise _missing(name)
            return path
        copy = self._cache / name
        if copy.is_file():
            os.utime(copy)  # used now: others go first
        else:
            self._path(name)
            with (
                self.open(name) as source,
                _replacing(copy) as temporary,
                temporary.open("wb") as target,
            ):
                shutil.copyfileobj(source, target)
            self._trim(copy)
        return copy

    def held(self, name: str, folder: Path) -> Path:
        """A local path as `local` gives it, whose bytes stay as long as `folder` does."""
        if self._is_local:
            return self.local(name)
        own = folder / name
        own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for _ in range(3):
            copy = self.local(name)
            try:
                if not own.exists():
                    os.link(copy, own)
                return own
            except FileNotFoundError:  # another process let it go meanwhile
                continue
            except OSError:  # a file system without hard links
                shutil.copyfile(copy, own)
                return own
        raise _missing(name)

    def _trim(self, newest: Path) -> None:
        """Let go of the copies used longest ago, until the rest are within the bound."""
        copies = []
        for path in self._cache.rglob("*"):
            with suppress(FileNotFoundError):
                state = path.stat()
                if path != newest and path.is_file():
                    copies.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in copies) + newest.stat().st_size
        for _, size, path in sorted(copies):
            if total <= self._most:
                break
            path.unlink(missing_ok=True)
            total -= size

    def exists(self, name: str) -> bool:
        return bool(self._files.isfile(self._path(name)))

    def size(self, name: str) -> int:
        """Bytes of an artifact."""
        if not self.exists(name):
            raise _missing(name)
        return int(self._files.size(self._path(name)))

    def names(self, prefix: str) -> list[str]:
        """Names of the artifacts under a prefix, sorted."""
        root = self._path(prefix)
        if not self._files.exists(root):
            return []
        found = (str(path)[len(root) :].strip("/") for path in self._files.find(root))
        return sorted(f"{prefix.rstrip('/')}/{name}" for name in found)

    def every(self, *, begun: bool = False) -> list[str]:
        """Names of all artifacts, sorted, but for what is being written; with `begun` that too."""
        root = self._root.rstrip("/")
        if self._is_local:
            # Not by fsspec, which leaves a folder out when a file in it is renamed meanwhile.
            paths = [f"{folder}/{file}" for folder, _, files in os.walk(root) for file in files]
        else:
            self._files.invalidate_cache()
            paths = self._files.find(root) if self._files.exists(root) else []
        names = (str(path)[len(root) :].strip("/") for path in paths)
        return sorted(name for name in names if begun or not is_begun(name))

    def version(self, name: str) -> str:
        """A value that is another when an artifact was written anew; raise NotFound for none."""
        try:
            return str(self._files.ukey(self._path(name)))
        except FileNotFoundError:
            raise _missing(name) from None

    def modified(self, name: str) -> datetime:
        """When an artifact was written; raise NotFound for none."""
        try:
            found = cast(datetime, self._files.modified(self._path(name)))
        except FileNotFoundError:
            raise _missing(name) from None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def delete_tree(self, prefix: str) -> None:
        """Delete everything under a prefix; nothing there is no error."""
        path = self._path(prefix)
        if self._files.exists(path):
            self._files.rm(path, recursive=True)
        shutil.rmtree(self._cache / prefix, ignore_errors=True)

    def _path(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise UserError(
                f"{name!r} is no artifact's name; expected a relative path such as "
                f"runs/12ab/arrays.npz, without '..'."
            )
        return f"{self._root.rstrip('/')}/{'/'.join(parts)}"


def is_begun(name: str) -> bool:
    """Whether a file is one that is being written, or was when its process ended."""
    return PurePosixPath(name).name.startswith(".")


def _open(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Open a URL's file system; UserError where it is unknown, or its package is not installed."""
    try:
        files, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        kind = url.partition("://")[0]
        needed = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
        cure = f"Install it with `pip install {needed[kind]}`." if kind in needed else str(error)
        raise UserError(
            f"Artifacts at {kind}:// need a package that is not installed. {cure}",
            field="artifacts_url",
        ) from None
    except ValueError:
        raise UserError(
            f"{hidden(url)!r} is no place for artifacts; expected file:///PATH, s3://BUCKET/PATH "
            f"or another URL that fsspec knows. Set LETHE_ARTIFACTS_URL.",
            field="artifacts_url",
        ) from None
    return files, str(root)


class _replacing:
    """Write to a temporary file beside `path`, then put it in `path`'s place in one step."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}")

    def __enter__(self) -> Path:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_file(self._temporary)
        return self._temporary

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no artifact {name!r}; expected one that a finished run wrote.")
