"""Projects of a shared server, their members, and who may see what is made."""

from datetime import datetime
from typing import Literal, get_args

from worker.contract.base import Contract, one_of
from worker.contract.errors import UserError

Visibility = Literal["private", "project", "server", "anybody"]
VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)
"""Each lets more people see than the ones before it: its owner alone; the members of its project;
everybody who has an account; also who has none."""
ProjectRole = Literal["viewer", "member", "owner"]
PROJECT_ROLES: tuple[ProjectRole, ...] = get_args(ProjectRole)
"""Each may do what the ones before it may: see; add what is made; change the project itself."""
LONGEST_TITLE = 100
"""Characters of a project's title."""


class Member(Contract):
    """A person in a project."""

    person: str
    role: ProjectRole


class Project(Contract):
    """What people share who work on one thing."""

    id: str
    title: str
    made_by: str
    archived: bool = False
    created: datetime
    members: tuple[Member, ...] = ()

    def role_of(self, person: str) -> ProjectRole | None:
        """What a person is in it; None for one who is not."""
        return next((one.role for one in self.members if one.person == person), None)


def project_title(given: str, what: str = "project") -> str:
    """A project's or class's title as it is kept; UserError for one that is empty, too long or
    unprintable."""
    title = " ".join(given.split())
    if not title or len(title) > LONGEST_TITLE or not title.isprintable():
        raise UserError(
            f"{given[:60]!r} is no title for a {what}; expected 1 to {LONGEST_TITLE} characters, "
            f"for example Sports facts.",
            field="title",
        )
    return title


def visibility_of(given: str) -> Visibility:
    """A visibility by its name; UserError that lists them."""
    return one_of("visibility", given, VISIBILITIES, "visibility")


def project_role_of(given: str) -> ProjectRole:
    """A role in a project by its name; UserError that lists them."""
    return one_of("role in a project", given, PROJECT_ROLES, "role")
