"""The guard of a shared server: who asks, by a session's cookie or a personal token, and whether
they may.

The right is looked up (`app.access.table`) before a route is reached or a body read, and what a
request changed is written into the audit log before its answer is sent.
"""

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import discovery
from app.access import audit
from app.access.attempts import Attempts
from app.access.guard import Guard, InTrouble, address_of, ask_for_login, bearer, cookie_name
from app.access.house import OpenHouse
from app.access.opened import is_opened
from app.access.refusal import refuse, too_many
from app.access.rights import may, refusal_words, right_of, route_of
from app.access.session import Identity, Session, Sessions
from worker.contract.errors import Forbidden, TooMuch, Unavailable
from worker.contract.settings import Settings
from worker.store.store import Store

log = logging.getLogger("lethe.app")
Refused = Callable[[Request, Exception], Response]
"""Answers a request that its sender may not make."""
HSTS = "max-age=31536000"
"""For a year."""
NEEDED = (
    "This needs a personal token, which the account page makes, as the header "
    "`Authorization: Bearer TOKEN`."
)


class SharedGuard(Guard):
    """Lets in people who have an account, each to what their role may. The login token is none."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        sessions: Sessions,
        in_trouble: InTrouble,
        refused: Refused,
        house: OpenHouse | None = None,
    ) -> None:
        super().__init__(app, settings, sessions, in_trouble)
        self._refused, self._house = refused, house
        self._is_secure = settings.public_url.startswith("https:")
        self._attempts = Attempts()
        self._routes: tuple[Any, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = _noting(scope, send, self._is_secure)
        await super().__call__(scope, receive, send)

    async def _admit(self, request: Request) -> Response | None:
        """Let a request through (None) for which its sender has the right."""
        store: Store = request.app.state.opening.engine().store
        token, address = bearer(request), address_of(request)
        if token is None:
            session = await run_in_threadpool(_of_cookie, store, request)
        elif wait := self._attempts.wait(address):
            return refuse(request, 429, too_many(wait), wait)
        else:
            session = await run_in_threadpool(_of_token, store, token)
            (self._attempts.succeeded if session else self._attempts.failed)(address)
        request.scope["state"]["session"] = session
        return await self._allow(request, session)

    async def _allow(self, request: Request, session: Session | None) -> Response | None:
        found = route_of(self._all_routes(request.app), request.scope)
        route, names = found or ("", {})
        right = right_of(route) if found else None
        if session is None and (right is None or right.least != "anybody"):
            if self._house is not None and bearer(request) is None:
                return await self._receive(self._house, request, route, names)
            store: Store = request.app.state.opening.engine().store
            is_open = await run_in_threadpool(is_opened, store, request, route, names)
            return None if is_open else ask_for_login(request, NEEDED)
        if found is None:
            return None  # which is answered with 404 or 405
        if right is None:
            words = f"{route} has no row in the table of rights, so it is refused to everybody."
        elif not may(session.identity if session else None, route):
            assert session is not None
            words = refusal_words(session.identity, route)
        else:
            audit.begin(request, right.change, names)
            return None
        return await run_in_threadpool(self._refused, request, Forbidden(words))

    async def _receive(
        self, house: OpenHouse, request: Request, route: str, names: dict[str, Any]
    ) -> Response | None:
        """Let a visitor of an open house through (None), or answer."""
        refusal = house.receive(request, route)
        if refusal is None:
            return None
        if isinstance(refusal, TooMuch):  # in as few steps as can be
            return refuse(request, 429, refusal.message, refusal.seconds or 0.0)
        store: Store = request.app.state.opening.engine().store
        if await run_in_threadpool(is_opened, store, request, route, names):
            return None
        return await run_in_threadpool(self._refused, request, refusal)

    def _all_routes(self, app: Starlette) -> tuple[Any, ...]:
        self._routes = self._routes or tuple(discovery.routes(app))
        return self._routes


def _of_cookie(store: Store, request: Request) -> Session | None:
    secret = request.cookies.get(cookie_name(request), "")
    found = store.signed_in(secret) if secret else None
    if found is None:
        return None
    person, signed = found
    return Session(Identity(person.name, person.role), signed.id, signed.expires.timestamp())


def _of_token(store: Store, token: str) -> Session | None:
    found = store.person_of_token(token)
    if found is None:
        return None
    person, id = found
    return Session(Identity(person.name, person.role), "", token=id)


def lasts(store: Store, session: Session) -> bool:
    """Whether a person's session, or the token that a script came with, is still good."""
    return store.token_holds(session.token) if session.token else store.is_signed_in(session.nonce)


def _noting(scope: Scope, send: Send, is_secure: bool) -> Send:
    """Write what a request changed before the answer that says so is sent.

    Where people come by https, browsers are told to come by nothing else.
    """

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            if is_secure:
                MutableHeaders(scope=message).setdefault("Strict-Transport-Security", HSTS)
            request = Request(scope)
            if (entry := audit.entry(request, message["status"])) is not None:
                store: Store = request.app.state.opening.engine().store
                try:
                    await run_in_threadpool(store.note, *entry)
                except (Unavailable, SQLAlchemyError):
                    # The change is made: the answer may not say that it is not.
                    log.exception("the audit log lacks: %s", entry)
        await send(message)

    return noted
