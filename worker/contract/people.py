"""People of a shared server, as the store remembers them and the pages show them."""

import re
from datetime import datetime
from typing import Literal, get_args

from worker.contract.base import Contract, one_of
from worker.contract.errors import UserError

Role = Literal["guest", "viewer", "member", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)[1:]
"""Of accounts. Each may do what the ones before it may: read; work and change what is one's own;
everything. A guest has no account, and may what their class allows."""

SHORTEST, LONGEST = 10, 1000
"""Characters of a password."""
FEWEST = 5
"""Different characters of a password."""
NAMED = 3
"""Characters from which on a name may not stand in its password."""
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,39}")


class Person(Contract):
    """Somebody who may sign in."""

    name: str
    role: Role
    disabled: bool = False
    by_provider: bool = False
    """Whether they sign in by the provider of OpenID Connect, and have no password."""
    created: datetime


class SignIn(Contract):
    """One browser in which a person is signed in."""

    id: str
    person: str
    created: datetime
    last_seen: datetime
    expires: datetime
    address: str
    """Where it was signed in from."""
    browser: str
    """What the browser says that it is."""


class Invitation(Contract):
    """A link with which one person makes their own account."""

    id: str
    role: Role
    created: datetime
    expires: datetime
    made_by: str
    used_by: str = ""


class PersonalToken(Contract):
    """A name for a script's secret; the secret itself is shown once and kept nowhere."""

    id: str
    person: str
    name: str
    created: datetime
    expires: datetime
    last_used: datetime | None = None


class AuditEntry(Contract):
    """One change: who made it, what, when, and from where."""

    id: int
    at: datetime
    person: str
    what: str
    about: str
    address: str


def person_name(given: str) -> str:
    """A person's name as it is kept; UserError for one that two people could take for another."""
    name = given.strip().lower()
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{given[:50]!r} is no name for a person; expected a letter from a to z, then at most "
            f"39 letters, digits, dots, hyphens or underscores, for example ada.",
            field="name",
        )
    return name


def role_of(given: str) -> Role:
    """A role by its name; UserError that lists them."""
    return one_of("role", given, ROLES, "role")


def check_new_password(password: str, name: str) -> None:
    """Raise UserError for a password that is guessed soon."""
    if not SHORTEST <= len(password) <= LONGEST:
        reason = f"has {len(password)} characters; expected {SHORTEST} to {LONGEST}"
    elif len(set(password)) < FEWEST:
        reason = f"repeats {len(set(password))} characters; expected at least {FEWEST} different"
    elif len(name) >= NAMED and name in password.lower():
        reason = "holds your name; expected one that does not follow from it"
    else:
        return
    raise UserError(f"The password {reason}. A sentence of a few words is good.", field="password")
