"""What a request changes, as the audit log says it: gathered while the request is answered."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from app.access.guard import address_of
from app.access.session import Session

UNTOLD = "secret"
"""The part of an address that no log may hold."""


def begin(request: Request, change: str, names: Mapping[str, Any]) -> None:
    """Remember what the request's route changes; empty for nothing."""
    told = [str(value) for name, value in names.items() if name != UNTOLD]
    request.scope["state"]["audit"] = {"what": change, "names": told, "about": [], "person": ""}


def tell(request: Request, about: str, person: str = "") -> None:
    """Say what a change is about, and who makes it where nobody is signed in yet."""
    entry = request.scope["state"].get("audit")
    if entry is not None:
        entry["about"].append(about)
        entry["person"] = person or entry["person"]


def entry(request: Request, status: int) -> tuple[str, str, str, str] | None:
    """Who changed what, about what, from where; None for a request that changes nothing.

    One that was refused changed what it told of: a part of many, before another part was refused.
    """
    found = request.scope.get("state", {}).get("audit")
    if found is None or not found["what"] or (status >= 400 and not found["about"]):
        return None
    session: Session | None = request.scope["state"].get("session")
    person = found["person"] or (session.identity.user if session else "")
    about = ", ".join(dict.fromkeys(found["about"] or found["names"]))
    return person, found["what"], about, address_of(request)
