"""The guard in front of every route: host, malformed addresses, login, security headers.

A browser signs in with the address that the server prints (`/?token=…`), which sets a cookie and
redirects without the token. A script sends `Authorization: Bearer TOKEN`.
"""

from collections.abc import Callable
from urllib.parse import parse_qsl, quote, urlencode

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.hosts import Hosts
from app.access.refusal import PROBES, refuse, too_many
from app.access.session import LASTS, Identity, Session, Sessions
from worker.contract.errors import Unavailable
from worker.contract.settings import Settings
from worker.store.store import Store

InTrouble = Callable[[Request, Exception], Response]
"""Answers a request for which the database could not be asked."""
UNSIGNED = (*PROBES, "/static/", "/favicon.ico")
"""Paths for which it does not matter who asks."""
OPEN = ("/login",)
"""Further paths that need no login."""
NEEDED = (
    "This needs the token that the server printed at its start, as the header "
    "`Authorization: Bearer TOKEN`."
)
LONGEST_NEXT = 2000
"""Characters of an address that the login page goes on to."""

POLICY = "; ".join(
    (
        "default-src 'self'",
        # Neither inline nor by eval; static/figures.js says how Plotly does without inline styles.
        "script-src 'self'",
        "style-src 'self'",
        # Plotly draws heatmaps as data: images and saves pictures through blob: addresses.
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
SECURE = {"Strict-Transport-Security": "max-age=31536000"}
"""Where a request came by https, which only a proxy that LETHE_PROXIES names can say."""


class Guard:
    """ASGI middleware; leaves `scope["state"]["session"]` for those who are signed in."""

    def __init__(
        self, app: ASGIApp, settings: Settings, sessions: Sessions, in_trouble: InTrouble
    ) -> None:
        self.app = app
        self.sessions = sessions
        self._in_trouble = in_trouble
        self._hosts = Hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = _with_headers(send, is_secure=scope["scheme"] == "https")
            answer = await self._refuse(scope) or self.app
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _refuse(self, scope: Scope) -> Response | None:
        """Let a request through (None), or answer it here."""
        request = Request(scope)
        if not self._hosts.answers(request):
            return refuse(request, 421, self._hosts.refusal(request))
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            return refuse(request, 400, "The address holds a NUL character; take it out.")
        scope.setdefault("state", {})["session"] = None
        if request.url.path.startswith(UNSIGNED):
            return None
        try:
            return await self._admit(request)
        except (Unavailable, SQLAlchemyError) as error:
            # Whether the session was ended is not known.
            return self._in_trouble(request, error)

    async def _admit(self, request: Request) -> Response | None:
        """Leave the session of whoever is signed in, and let them through (None), or answer."""
        session = await self._session(request)
        request.scope["state"]["session"] = session
        return None if session is not None else self._sign_in(request)

    async def _session(self, request: Request) -> Session | None:
        """The session of a browser's cookie, unless it was signed out or a token is given."""
        found = self.sessions.read(request.cookies.get(cookie_name(request), ""))
        if found is None or bearer(request) is not None:
            return None
        store: Store = request.app.state.opening.engine().store
        return None if await run_in_threadpool(store.is_ended, found.nonce) else found

    def _sign_in(self, request: Request) -> Response | None:
        """Let in who brings the token, as a header or in the address, and refuse everybody else."""
        of_script = bearer(request)
        in_address = request.query_params.get("token", "") if request.method == "GET" else ""
        if token := in_address if of_script is None else of_script:
            wait = self.sessions.try_token(token, address_of(request))
            if wait:
                return refuse(request, 429, too_many(wait), wait)
            if wait is not None:
                return self._let_in(request, by_address=of_script is None)
        return None if request.url.path.startswith(OPEN) else ask_for_login(request, NEEDED)

    def _let_in(self, request: Request, by_address: bool) -> Response | None:
        if not by_address:
            request.scope["state"]["session"] = Session(Identity(), "")
            return None
        rest = [(k, v) for k, v in parse_qsl(request.url.query, True) if k != "token"]
        path = "/" + request.url.path.lstrip("/")
        where = quote(path) + (f"?{urlencode(rest)}" if rest else "")
        return sign_in(request, RedirectResponse(where, status_code=303), self.sessions)


def sign_in(request: Request, response: Response, sessions: Sessions) -> Response:
    """Put a new session's cookie on `response`."""
    return put_cookie(request, response, sessions.issue(Identity()))


def put_cookie(request: Request, response: Response, value: str, lasts: int = LASTS) -> Response:
    """Put the cookie of a session, however that is kept, on `response`; it `lasts` seconds."""
    response.set_cookie(
        cookie_name(request),
        value,
        max_age=lasts,
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
        path=cookie_path(request),
    )
    return response


def cookie_path(request: Request) -> str:
    """Where a cookie is sent: to this server alone, where others lie beside it under one name."""
    settings: Settings = request.app.state.settings
    return settings.root_path or "/"


def is_secure(request: Request) -> bool:
    """Whether a cookie may be kept to https: the request came by it, or all are meant to."""
    settings: Settings = request.app.state.settings
    is_meant = settings.shared and settings.public_url.startswith("https:")
    return is_meant or request.url.scheme == "https"


def address_of(request: Request) -> str:
    """Where a request comes from, as the server sees it."""
    return request.client.host if request.client else ""


def cookie_name(request: Request) -> str:
    """Cookies know no ports, so two servers on one host need two names."""
    return f"lethe-session-{request.url.port or request.url.scheme}"


def bearer(request: Request) -> str | None:
    """The token of a script; None where there is no such header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def ask_for_login(request: Request, needed: str) -> Response:
    """Send a browser to the login page, and tell a script what it `needed`."""
    if request.url.path.startswith("/api/"):
        answer = refuse(request, 401, needed)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = request.url.path + query if request.method == "GET" else "/"
    wanted = wanted if len(wanted) <= LONGEST_NEXT else "/"
    login = f"/login?{urlencode({'next': wanted})}"
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": login})
    return RedirectResponse(login, status_code=303)


def _with_headers(send: Send, *, is_secure: bool) -> Send:
    headers_of_all = HEADERS | (SECURE if is_secure else {})

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in headers_of_all.items():
                headers.setdefault(name, value)
        await send(message)

    return guarded
