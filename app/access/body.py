"""How much a request may carry and how slowly: little, except where files are brought."""

import asyncio
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT = 2_000_000
"""Bytes of a request's body."""

MOST_FILES = 1
"""Files in a form at most."""
MOST_FIELDS = 20_000
"""Fields of a form at most: a mask by hand has a box for each of a large model's components."""


@dataclass(frozen=True)
class Pace:
    """How slowly a body may come: who trickles would hold a place for as long as they like."""

    silent: float = 30.0
    """Seconds between two pieces."""
    patience: float = 60.0
    """Seconds for a body, besides the time that its bytes may take."""
    rate: float = 16_384.0
    """Bytes in a second that must come on average, once the patience is over."""


class BodyLimit:
    """ASGI middleware that counts what comes and stops at a limit, before it is all here.

    `larger` names the paths that may carry more. The app's own handler of HTTPException puts
    the refusal into words: reading the body raises it inside the route.
    """

    def __init__(self, app: ASGIApp, larger: dict[str, int], pace: Pace | None = None) -> None:
        self.app = app
        self._larger = larger
        self._pace = pace or Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a `receive` that counts and looks at the clock."""
        if scope["type"] == "http":
            limit = self._larger.get(scope["path"], LIMIT)
            receive = _counted(receive, limit, _announced(Request(scope)), self._pace)
        await self.app(scope, receive, send)


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _counted(receive: Receive, limit: int, announced: int, pace: Pace) -> Receive:
    come, is_whole, begun = 0, False, 0.0
    clock = asyncio.get_running_loop()

    async def counted() -> Message:
        nonlocal come, is_whole, begun
        if announced > limit:
            raise HTTPException(413)
        if is_whole:  # what is waited for then is the reader's leaving, however late
            return await receive()
        begun = begun or clock.time()
        left = begun + pace.patience + come / pace.rate - clock.time()
        if left < 0:
            raise _too_slow()
        try:
            message = await asyncio.wait_for(receive(), min(pace.silent, left + 1.0))
        except TimeoutError:
            raise _too_slow() from None
        come += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if come > limit:
            raise HTTPException(413)
        return message

    return counted


def _too_slow() -> HTTPException:
    """Refuse a body and let the connection be closed, so that its rest is not waited for either."""
    return HTTPException(408, headers={"Connection": "close"})
