"""Looks up in the table of rights whether somebody may ask a route."""

from collections.abc import Iterable
from typing import Any

from starlette.routing import Match
from starlette.types import Scope

from app.access.session import Identity
from app.access.table import GUESTS, RIGHTS, VISITORS, Least, Right
from worker.contract.people import ROLES

_GUESTS = (
    "You are here as a guest of a class, and this is for people with an account. A guest takes "
    "lessons, explores the class's model and starts runs on it. Ask your teacher."
)


def route_of(routes: Iterable[Any], scope: Scope) -> tuple[str, dict[str, Any]] | None:
    """The route that a request reaches, as the table writes it, and what its address names.

    None where nothing is there, or nothing for this method.
    """
    for route in routes:
        match, found = route.matches(scope)
        if match == Match.FULL:
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            return f"{method} {route.path}", found.get("path_params", {})
    return None


def right_of(route: str) -> Right | None:
    """The table's row; None for a route without one, which is refused."""
    return RIGHTS.get(route)


def may(identity: Identity | None, route: str) -> bool:
    """Whether somebody, or who is not signed in, may ask a route of the table."""
    least: Least = RIGHTS[route].least
    role = identity.role if identity is not None else None
    if least == "anybody":
        return True
    if role == "guest":
        return route in GUESTS
    if role == "visitor":
        return route in VISITORS
    return role is not None and ROLES.index(role) >= ROLES.index(least)


def refusal_words(who: Identity | None, route: str) -> str:
    """Why somebody, or who is not signed in, may not ask a route, and who can help."""
    least = RIGHTS[route].least
    if who is None:
        return f"This is for {_for(least)}. Sign in to do it."
    if who.role == "guest":
        return _GUESTS
    return (
        f"You are signed in as {who.user!r}, a {who.role}; this is for {_for(least)}. An admin can "
        f"change your role."
    )


def _for(least: str) -> str:
    return "admins" if least == "admin" else f"{least}s and admins"
