"""Classes of a shared server: what guests may do who come by a join link, and who they are."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from worker.contract.base import Contract
from worker.contract.errors import Forbidden, UserError
from worker.contract.limits import Limits
from worker.contract.menu import Announcement, MethodKind
from worker.contract.named import methods_of
from worker.contract.spec import EvaluateSpec, ExploreSpec, LocalizeSpec, Spec, UnlearnSpec

KINDS: tuple[MethodKind, ...] = ("localization", "unlearning", "evaluation")
"""The kinds of methods of which a class allows some."""
MOST_SEATS = 500
LONGEST_NAME = 40
"""Characters of a guest's name."""
LONGEST_LINK = 365.0
"""Days for which a join link may hold."""
_MAY = (LocalizeSpec, UnlearnSpec, EvaluateSpec, ExploreSpec)
"""What a guest may ask for: what is heavy, or changes the server, is for people with accounts."""


class Class(Contract):
    """A class: guests of one teacher, who work on one model within one project."""

    id: str
    title: str
    project: str
    """Its guests' runs go there, and its members see them: the shared gallery."""
    made_by: str
    model: str
    """The one model that guests may ask."""
    methods: tuple[str, ...]
    """The methods that guests may use, each as `kind/name`."""
    seats: int
    limits: Limits
    """What each guest may take; never more than the server lets everybody take."""
    link_expires: datetime | None = None
    """Until when the join link holds; None where there is none."""
    created: datetime
    ended: datetime | None = None
    taken: int = 0
    """Seats that are taken."""

    @property
    def left(self) -> int:
        """Seats that nobody has."""
        return max(0, self.seats - self.taken)


class Guest(Contract):
    """Somebody who came by a join link."""

    person: str
    """The name that their runs carry; no other person of the server has it."""
    name: str
    """The name that they chose."""
    joined: datetime
    is_out: bool = False
    """Whether they were let go; with the class's end everybody is."""


def method_key(kind: str, name: str) -> str:
    """How a class's list names a method."""
    return f"{kind}/{name}"


def refuse_beyond(held: Class, spec: Spec) -> None:
    """Raise Forbidden, with a sentence for each field, for what a guest of a class may not ask."""
    if held.ended is not None:
        raise Forbidden(f"The class {held.title!r} has ended, so its guests start nothing more.")
    if not isinstance(spec, _MAY):
        raise Forbidden(
            f"A guest of a class cannot ask for {spec.kind!r}; expected to localize, unlearn or "
            f"evaluate. Ask your teacher, who has an account.",
            field="kind",
        )
    problems = []
    if spec.base != held.model:
        problems.append(
            (
                "model",
                f"The model {spec.base!r} is not the one of the class {held.title!r}; expected "
                f"{held.model!r}. Your teacher chooses the class's model.",
            )
        )
    if not isinstance(spec, ExploreSpec):
        problems += [
            (field, _no_method(held, name, kind))
            for kind, name, field, _, _ in methods_of(spec)
            if method_key(kind, name) not in held.methods
        ]
    if problems:
        raise Forbidden(problems=list(dict(problems).items()))


def _no_method(held: Class, name: str, kind: str) -> str:
    of_kind = [one.partition("/")[2] for one in held.methods if one.startswith(f"{kind}/")]
    expected = f"expected one of {', '.join(of_kind)}" if of_kind else "expected none of its kind"
    return (
        f"The {kind} {name!r} is not among the methods of the class {held.title!r}; {expected}. "
        f"Your teacher chooses the class's methods."
    )


def narrowed(held: Class, menu: Announcement) -> Announcement:
    """What workers can do, without what a class's guests may not ask for."""
    methods = tuple(
        one
        for one in menu.methods
        if one.kind not in KINDS or method_key(one.kind, one.name) in held.methods
    )
    models = tuple(one for one in menu.models if one.id == held.model)
    told = {"methods": methods, "models": models, "of_class": held.title}
    return menu.model_copy(update=told)


def check_seats(seats: int) -> int:
    """A number of seats; UserError for none or too many."""
    if not 1 <= seats <= MOST_SEATS:
        raise UserError(
            f"{seats} is no number of seats; expected 1 to {MOST_SEATS}, for example 30.",
            field="seats",
        )
    return seats


def seats_of(text: str) -> int:
    """A number of seats as it is typed."""
    found = text.strip()
    return check_seats(int(found) if re.fullmatch(r"[0-9]{1,6}", found) else 0)


def check_link(days: float) -> float:
    """The seconds for which a link holds; UserError for none or too many days."""
    if not 0 < days <= LONGEST_LINK:
        raise UserError(
            f"{days:g} is no number of days for a link; expected more than 0 and at most "
            f"{LONGEST_LINK:g}, for example 7.",
            field="days",
        )
    return days * 86400.0


def days_of(text: str) -> float:
    """For how long a link holds, in seconds, from the days that are typed."""
    found = text.strip()
    return check_link(float(found) if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", found) else 0.0)


def check_methods(given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The methods of a class, in the order in which they are known; UserError for an unknown."""
    strange = [one for one in given if one not in known]
    if strange:
        raise UserError(
            f"There is no method {strange[0][:60]!r}; expected some of {', '.join(known)}.",
            field="methods",
        )
    return tuple(one for one in known if one in given)


def guest_name(given: str) -> str:
    """A guest's name as it is shown; UserError for one that is empty, too long or unprintable."""
    name = " ".join(given.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(
            f"{given[:60]!r} is no name; expected 1 to {LONGEST_NAME} characters, for example "
            f"Anna.",
            field="name",
        )
    return name


def login_of(name: str, more: str) -> str:
    """The server's own name for a guest, from what can be kept of theirs and what sets it apart."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    kept = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    kept = kept if kept[:1].isalpha() else f"guest-{kept}".strip("-")
    return f"{kept[:24].rstrip('-')}-{more}"
