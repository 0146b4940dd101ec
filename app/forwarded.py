"""What a reverse proxy says of the request that it passes on: believed of LETHE_PROXIES alone.

X-Forwarded-For and -Proto are uvicorn's; X-Forwarded-Host, which it does not know, is the name
under which the reader asked, where a proxy asks under another.
"""

from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


class Forwarded:
    """ASGI middleware outside all others: address, scheme and host as the proxies tell them."""

    def __init__(self, app: ASGIApp, proxies: str) -> None:
        # uvicorn has types of its own for the same things.
        self._told: Any = ProxyHeadersMiddleware(cast(Any, app), proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as it reached the proxy."""
        if scope["type"] == "http" and scope.get("client"):
            hosts = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
            if hosts and scope["client"][0] in self._told.trusted_hosts:
                rest = [pair for pair in scope["headers"] if pair[0] != b"host"]
                # Of several the nearest proxy said the last one.
                scope["headers"] = [*rest, (b"host", hosts[-1].rpartition(b",")[2].strip())]
        await self._told(scope, receive, send)
