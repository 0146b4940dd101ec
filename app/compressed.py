"""What goes out is compressed: pages as they are made, static files once."""

import gzip
from functools import lru_cache
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

SMALLEST = 1_000
"""Bytes of an answer from which on compressing is worth its time."""
LEVEL = 5
"""Of pages: a tenth larger than at 9, in a third of the time."""
NOT_PAGES = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream")
"""Media types that are sent as they are: weights and arrays hardly shrink."""
SUFFIXES = frozenset({".js", ".css", ".svg", ".json", ".html", ".md"})
"""Static files that shrink; pictures and fonts are compressed already."""


class Static(StaticFiles):
    """Static files; one with a hash in its address, or a version in its name, is kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, and say for how long it may be kept."""
        response = await super().get_response(path, scope)
        # Sent as it is, it would be compressed anew by the middleware each time.
        if isinstance(response, FileResponse) and _may_shrink(response, Headers(scope=scope)):
            response = await run_in_threadpool(_shrunk, response)
        named = b"v=" in scope["query_string"] or path.startswith("vendor/")
        kept = named and response.status_code == 200
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if kept else "no-cache"
        )
        return response


def _may_shrink(response: FileResponse, asked: Headers) -> bool:
    return (
        Path(response.path).suffix in SUFFIXES
        and "gzip" in asked.get("accept-encoding", "")
        and "range" not in asked
    )


def _shrunk(response: FileResponse) -> Response:
    stat = response.stat_result or Path(response.path).stat()
    body = _packed(str(response.path), stat.st_mtime_ns, stat.st_size)
    headers = {
        "Content-Encoding": "gzip",
        "Vary": "Accept-Encoding",
        # Weak: it names the file, however it is sent.
        "ETag": f"W/{response.headers['etag']}",
        "Last-Modified": response.headers["last-modified"],
    }
    return Response(body, response.status_code, headers, response.media_type)


@lru_cache(maxsize=256)
def _packed(path: str, changed: int, size: int) -> bytes:
    """A file compressed, once for as long as it is the same: `changed` and `size` tell."""
    return gzip.compress(Path(path).read_bytes(), 9, mtime=0)
