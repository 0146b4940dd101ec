"""How much a request may carry: little, except where files are brought."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT = 2_000_000
"""Bytes of a request's body."""


class BodyLimit:
    """ASGI middleware that counts what comes and stops at a limit, before it is all here.

    `larger` names the paths that may carry more. The app's own handler of HTTPException puts
    the refusal into words: reading the body raises it inside the route.
    """

    def __init__(self, app: ASGIApp, larger: dict[str, int]) -> None:
        self.app = app
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a `receive` that counts."""
        if scope["type"] == "http":
            limit = self._larger.get(scope["path"], LIMIT)
            receive = _counted(receive, limit, _announced(Request(scope)))
        await self.app(scope, receive, send)


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _counted(receive: Receive, limit: int, announced: int) -> Receive:
    come = 0

    async def counted() -> Message:
        nonlocal come
        if announced > limit:
            raise HTTPException(413)
        message = await receive()
        come += len(message.get("body", b""))
        if come > limit:
            raise HTTPException(413)
        return message

    return counted
