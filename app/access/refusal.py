"""A refusal before any route is reached: the API's form under /api, a plain sentence elsewhere."""

import math

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

PROBES = ("/healthz", "/readyz")
"""Paths that monitors ask, without a login."""


def speaks_json(path: str) -> bool:
    """Whether a path is refused in the API's form."""
    return path.startswith("/api/") or path in PROBES


def refuse(request: Request, code: int, sentence: str, wait: float = 0.0) -> Response:
    """Answer with a sentence; `wait`, in seconds, says after which time to try again."""
    headers = retry_after(wait) if wait else {}
    if speaks_json(request.url.path):
        return JSONResponse({"detail": [{"field": "", "message": sentence}]}, code, headers)
    return PlainTextResponse(f"{sentence}\n", code, headers)


def retry_after(wait: float) -> dict[str, str]:
    """The header that says after how many seconds to try again."""
    return {"Retry-After": str(math.ceil(wait))}


def too_many(wait: float) -> str:
    """What is said to a token that is not looked at: this address sent too many wrong ones."""
    return f"Too many wrong tokens came from this address; wait {_seconds(wait)} and try again."


def too_many_passwords(wait: float) -> str:
    """What is said to a password that is not looked at."""
    return (
        f"Too many wrong passwords came for this name or from this address; wait "
        f"{_seconds(wait)} and try again."
    )


def _seconds(wait: float) -> str:
    return f"{math.ceil(wait)} second{'s' if wait > 1 else ''}"
