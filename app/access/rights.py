"""Looks up in the table of rights whether somebody may ask a route."""

from collections.abc import Iterable
from typing import Any

from starlette.routing import Match
from starlette.types import Scope

from app.access.session import Identity
from app.access.table import GUESTS, RIGHTS, Least, Right
from worker.contract.people import ROLES


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
    return role is not None and ROLES.index(role) >= ROLES.index(least)


def may_open(identity: Identity, path: str) -> bool:
    """Whether somebody may read the page at a path."""
    route = f"GET {path}"
    return right_of(route) is not None and may(identity, route)
