"""For whom a store acts: whose name is on what is made, what may be seen, whose things be changed.

On a shared server a member changes what is their own and an admin everything; what they see says
`worker.store.sight`, and an admin sees everything. A server of one reader, the workers and the
command line act for nobody, and may see and change everything.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Self

from worker.contract.errors import Forbidden
from worker.contract.visitors import Visit, at_home
from worker.store.database import Database
from worker.store.sight import Sight, sight_of


def _tell_nobody(what: str) -> None:
    """Let a change go unsaid: there is no audit log where there are no people."""


@dataclass(frozen=True)
class Acting:
    """Somebody for whom things are made and changed."""

    person: str = ""
    """Whose name is on what is made."""
    may_all: bool = True
    """Whether also what is another's may be seen and changed."""
    tell: Callable[[str], None] = _tell_nobody
    """Called with each change that was made, for the audit log."""
    project: str | None = None
    """The project that was chosen for what is made: empty for none, None where nothing was asked,
    so that what is made of a project's runs goes there too."""
    is_guest: bool = False
    """Whether it is a guest of a class, who sees and asks what the class allows."""
    may_open: bool = False
    """Whether things may be shared with anybody, who needs no account."""
    visit: Visit | None = None
    """What an open house holds open for whoever acts, who has no account and leaves nothing."""

    def refuse_guest(self, what: str) -> None:
        """Raise Forbidden where a guest would change something."""
        if self.is_guest:
            raise Forbidden(
                f"You are a guest of a class, who starts and cancels runs; a guest changes no "
                f"{what}. Ask your teacher, who has an account."
            )

    def refuse_others(self, owner: str, what: str) -> None:
        """Raise Forbidden for what is somebody else's."""
        if self.may_all or (owner and owner == self.person):
            return
        whose = f"{owner}'s" if owner else "nobody's own"
        raise Forbidden(
            f"{what[:1].upper()}{what[1:]} is {whose}; expected one of yours, {self.person!r}, to "
            f"change it. Ask {f'{owner} or ' if owner else ''}an admin."
        )


NOBODY = Acting()


class ActingStore:
    """A store that acts for somebody."""

    database: Database
    acting: Acting = NOBODY

    def acting_for(self, acting: Acting) -> Self:
        """The same store, acting for somebody; close only the first."""
        own = copy(self)
        own.acting = acting
        look = None if acting.may_all else _sight(acting)
        refuse = _leave_nothing if acting.visit is not None else None
        own.database = self.database.seen_by(look, acting, refuse)
        return own


def _sight(acting: Acting) -> Sight:
    if acting.visit is None:
        return sight_of(acting.person, is_guest=acting.is_guest)
    return sight_of("", shipped=acting.visit.runs, is_open=acting.may_open)


def _leave_nothing() -> None:
    """Raise Forbidden: nothing is written for a visitor, whichever route it is that would."""
    raise Forbidden(
        f"A visitor leaves nothing on this server, so nothing was kept. "
        f"{at_home('all that you make is yours')}"
    )
