"""Where the server lies: at /, or behind a proxy under a prefix of which no route or page knows.

With LETHE_ROOT_PATH=/lethe the prefix is taken off a request's path before anything looks at it,
and put before every address that goes out: in the headers of an answer here, in HTML as it is
rendered (`within`). A proxy passes the whole path on.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from functools import cache

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.guard import HEADERS as SECURITY
from worker.contract.errors import UserError

ADDRESSED = ("Location", "HX-Redirect", "HX-Location", "HX-Push-Url", "HX-Replace-Url")
"""Headers of an answer that hold an address."""
ATTRIBUTES = (
    *("href", "src", "action", "formaction"),
    *("hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete"),
    *("hx-push-url", "hx-replace-url", "hx-sse:connect"),
    *("data-view", "data-figure", "data-editor", "data-plotly", "data-plotly-styles"),
)
"""Attributes of HTML that hold an address."""
_root: ContextVar[str] = ContextVar("root", default="")
"""The prefix of the request that is being answered."""


def under(address: str) -> str:
    """An address of this server as a reader's browser has it."""
    is_own = address.startswith("/") and not address.startswith("//")
    return _root.get() + address if is_own else address


def within(html: str) -> str:
    """HTML whose attributes hold addresses as a reader's browser has them.

    No text can look like an attribute: a quotation mark in it is escaped. A part that was rendered
    before the page that it is in has the prefix already.
    """
    root = _root.get()
    return _without(root).sub(rf"\g<1>{root}", html) if root else html


@cache
def _without(root: str) -> re.Pattern[str]:
    """What finds an attribute's beginning before an address that lacks the prefix."""
    return re.compile(rf'(\s(?:{"|".join(ATTRIBUTES)})=")(?=/(?!/))(?!{re.escape(root)}/)')


def refuse_taken(root: str, paths: Iterable[str]) -> None:
    """Raise UserError for a prefix that is a page's path: the two could not be told apart."""
    if any(f"{path}/".startswith(f"{root}/") for path in paths):
        raise UserError(
            f"LETHE_ROOT_PATH is {root!r}, and pages of this server lie at {root}; expected "
            f"another path, for example /lethe."
        )


class Prefix:
    """ASGI middleware outside all others; `alone`: paths that monitors ask without the prefix."""

    def __init__(self, app: ASGIApp, root: str, alone: tuple[str, ...] = ()) -> None:
        self.app, self._root, self._alone = app, root, alone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what lies under the prefix, and say of the rest where the server is."""
        if scope["type"] == "http":
            # Where it stays set ends with the request, whose task this is.
            _root.set(self._root)
            path: str = scope["path"]
            if path.startswith(f"{self._root}/"):
                scope["path"] = path.removeprefix(self._root)
                scope["raw_path"] = scope.get("raw_path", b"").removeprefix(self._root.encode())
                send = _put_before(send)
            elif path not in self._alone:
                await self._elsewhere(path)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _elsewhere(self, path: str) -> Response:
        if path in ("/", self._root):
            return RedirectResponse(f"{self._root}/", 307)
        words = f"There is nothing here; this server lies under {self._root}/ (LETHE_ROOT_PATH)."
        return PlainTextResponse(f"{words}\n", 404, SECURITY)


def _put_before(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in ADDRESSED:
                if (address := headers.get(name)) is not None:
                    headers[name] = under(address)
        await send(message)

    return sent
