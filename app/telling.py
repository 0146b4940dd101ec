"""Whom and what a request is about, for the log."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.session import Session
from worker.contract.logs import about

_RUN = re.compile(r"/(?:api/)?runs/([0-9a-f]{12})(?:/|$)")


class Telling:
    """ASGI middleware inside the guard: what is logged meanwhile names person and run."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with about(**told_of(scope)):
            await self.app(scope, receive, send)


def told_of(scope: Scope) -> dict[str, str]:
    """The person who asks and the run that is asked for; empty where there is none."""
    session: Session | None = scope.get("state", {}).get("session")
    found = _RUN.match(scope.get("path", ""))
    return {
        "person": session.identity.user if session else "",
        "run": found[1] if found else "",
    }
