"""Looks up in the table of rights whether somebody may ask a route."""

from collections.abc import Iterable
from typing import Any

from starlette.routing import Match
from starlette.types import Scope

from app.access.session import Identity
from app.access.table import RIGHTS, Least, Right
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


def may(identity: Identity | None, least: Least) -> bool:
    """Whether somebody, or who is not signed in, has at least this role."""
    if least == "anybody":
        return True
    role = identity.role if identity is not None else None
    return role is not None and ROLES.index(role) >= ROLES.index(least)


def may_open(identity: Identity, path: str) -> bool:
    """Whether somebody may read the page at a path."""
    right = right_of(f"GET {path}")
    return right is not None and may(identity, right.least)
