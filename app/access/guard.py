"""The guard in front of every route: host, malformed addresses, login, security headers.

A browser signs in with the address that the server prints (`/?token=…`), which sets a cookie and
redirects without the token. A script sends `Authorization: Bearer TOKEN`.
"""

from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.session import LASTS, Identity, Session, Sessions
from worker.contract.settings import Settings

OPEN = ("/healthz", "/login", "/static/", "/favicon.ico")
"""Paths that need no login."""

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        # Plotly sets style attributes and adds one style element; it evaluates no strings.
        "style-src 'self' 'unsafe-inline'",
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
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """ASGI middleware; leaves `scope["state"]["session"]` for those who are signed in."""

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions) -> None:
        self.app = app
        self.sessions = sessions
        self._hosts = _LOOPBACK if settings.host in _LOOPBACK else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = _with_headers(send)
            answer = self._refuse(scope) or self.app
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        """Let a request through (None), or answer it here."""
        request = Request(scope)
        if self._hosts is not None and _hostname(request.headers) not in self._hosts:
            return PlainTextResponse(
                f"This server answers to localhost alone, not to "
                f"{request.headers.get('host', '')!r}. Open http://127.0.0.1 with its port, or "
                f"start the server with LETHE_HOST.\n",
                status_code=421,
            )
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            return PlainTextResponse("The address holds a NUL character; take it out.\n", 400)
        if (entered := self._enter(request)) is not None:
            return entered
        session = self._session(request)
        scope.setdefault("state", {})["session"] = session
        if session is None and not request.url.path.startswith(OPEN):
            return _ask_for_login(request)
        return None

    def _enter(self, request: Request) -> Response | None:
        """Sign in a browser that comes with the right token in the address."""
        token = request.query_params.get("token", "")
        if request.method != "GET" or not token or not self.sessions.accepts(token):
            return None
        rest = [(k, v) for k, v in parse_qsl(request.url.query, True) if k != "token"]
        path = "/" + request.url.path.lstrip("/")
        where = quote(path) + (f"?{urlencode(rest)}" if rest else "")
        return self.sign_in(request, RedirectResponse(where, status_code=303))

    def sign_in(self, request: Request, response: Response) -> Response:
        """Put a new session's cookie on `response`."""
        return sign_in(request, response, self.sessions)

    def _session(self, request: Request) -> Session | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return Session(Identity(), "") if self.sessions.accepts(token.strip()) else None
        return self.sessions.read(request.cookies.get(cookie_name(request), ""))


def sign_in(request: Request, response: Response, sessions: Sessions) -> Response:
    """Put a new session's cookie on `response`."""
    response.set_cookie(
        cookie_name(request),
        sessions.issue(Identity()),
        max_age=LASTS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def cookie_name(request: Request) -> str:
    """Cookies know no ports, so two servers on one host need two names."""
    return f"lethe-session-{request.url.port or request.url.scheme}"


def _hostname(headers: Headers) -> str:
    host = headers.get("host", "").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _ask_for_login(request: Request) -> Response:
    if request.url.path.startswith("/api/"):
        sentence = (
            "This needs the token that the server printed at its start, "
            "as the header `Authorization: Bearer TOKEN`."
        )
        return JSONResponse({"detail": [{"field": "", "message": sentence}]}, status_code=401)
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = request.url.path + query if request.method == "GET" else "/"
    login = f"/login?{urlencode({'next': wanted})}"
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": login})
    return RedirectResponse(login, status_code=303)


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return guarded
