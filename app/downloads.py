"""Files on their way out: streamed from the artifact store or from a temporary file."""

import re
from collections.abc import Iterator
from typing import IO, BinaryIO

from starlette.responses import StreamingResponse

from worker.store.store import Store

CHUNK = 2**20


def send(store: Store, artifact: str, filename: str, media_type: str) -> StreamingResponse:
    """Answer with an artifact, a chunk at a time; NotFound when there is none."""
    size = store.artifacts.size(artifact)
    return stream(store.artifacts.open(artifact), size, filename, media_type)


def stream(
    file: IO[bytes] | BinaryIO, size: int, filename: str, media_type: str
) -> StreamingResponse:
    """Answer with an open file from where it stands, and close it after."""
    headers = {"Content-Length": str(size), **attachment(filename)}
    return StreamingResponse(_chunks(file), media_type=media_type, headers=headers)


def attachment(filename: str) -> dict[str, str]:
    """The header that makes a browser save an answer under a name of plain characters."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", filename).strip("-.")[-120:] or "download"
    return {"Content-Disposition": f'attachment; filename="{plain}"'}


def _chunks(file: IO[bytes] | BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
