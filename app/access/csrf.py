"""Nobody else's page may post in a reader's name: the origin and a token are checked."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request

from app.access.body import MOST_FIELDS, MOST_FILES
from app.access.session import Session, Sessions
from worker.contract.errors import UserError

FIELD = "csrf"
HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class ForgedRequest(UserError):
    """A post that did not come from one of this server's own forms."""


async def check(request: Request) -> AsyncIterator[None]:
    """Let only our own pages' posts and scripts' requests to a route, and close its files after."""
    try:
        await _check(request)
        yield
    finally:
        await request.close()


async def _check(request: Request) -> None:
    """Raise ForgedRequest unless a changing request comes from our own page, or by a token."""
    if request.method in _SAFE:
        return
    origin = request.headers.get("origin")
    if origin is not None and _host_of(origin) != request.headers.get("host"):
        raise ForgedRequest(
            f"This was sent from {origin}, which is not this server; nothing was done."
        )
    session: Session | None = request.state.session
    if session is None or not session.nonce or request.url.path == "/login":
        return
    sessions: Sessions = request.app.state.sessions
    given = request.headers.get(HEADER) or (await _form(request)).get(FIELD)
    if not isinstance(given, str) or not sessions.is_form_of(session, given):
        raise ForgedRequest(
            "This form is from an earlier session, so nothing was done. Reload the page and send "
            "it again."
        )


async def _form(request: Request) -> FormData:
    """The form, as the route will find it: what is read once stays so, with these bounds."""
    return await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS)


def _host_of(origin: str) -> str | None:
    """The host and port that an origin names; None where it names none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def token(request: Request) -> str:
    """The token for this request's session; empty for one without."""
    session: Session | None = request.scope.get("state", {}).get("session")
    if session is None or not session.nonce:
        return ""
    sessions: Sessions = request.app.state.sessions
    return sessions.csrf(session)
