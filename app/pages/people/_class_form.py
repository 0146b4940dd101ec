"""The form of a class: title, model, methods, seats, limits; read, and shown as it was typed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from starlette.datastructures import FormData

from app.pages.people.limits import typed_limits
from worker.contract.base import unknown
from worker.contract.classes import KINDS, Class, check_methods, method_key, seats_of
from worker.contract.errors import UserError
from worker.contract.limits import read_limits
from worker.contract.menu import MethodKind
from worker.contract.projects import project_title
from worker.engine.announced import announced
from worker.store.store import Store

FIELDS = ("title", "model", "seats", "days", "waiting", "running", "daily", "storage")
USUAL = ("localization/causal_tracing", "unlearning/localized_finetuning", "evaluation/probes")
"""The methods that an untouched form has chosen."""
WORDS: dict[MethodKind, str] = {
    "localization": "Localize with",
    "unlearning": "Unlearn with",
    "evaluation": "Evaluate with",
}


@dataclass
class Typed:
    """A form as it was typed, with what is to be said beside its fields."""

    values: dict[str, str]
    methods: tuple[str, ...]
    problems: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, form: FormData) -> Self:
        """Read what was sent."""
        methods = tuple(str(one) for one in form.getlist("methods"))
        return cls({name: str(form.get(name, "")) for name in FIELDS}, methods)

    @classmethod
    def from_class(cls, found: Class) -> Self:
        """The form that changes a class, before anything is changed."""
        values = {"title": found.title, "model": found.model, "seats": str(found.seats)}
        return cls({**values, "days": "7", **typed_limits(found.limits)}, found.methods)


def untouched() -> Typed:
    """The form that makes a class, before anything is typed."""
    values = dict.fromkeys(FIELDS, "")
    values |= {"seats": "30", "days": "7", "waiting": "3", "running": "1", "daily": "30m"}
    return Typed(values, USUAL)


def read(typed: Typed, store: Store) -> dict[str, Any]:
    """The rules of a class; UserError with a sentence for each field that cannot be read."""
    menu, values = announced(store), typed.values
    models = [one.id for one in menu.models if not one.problem]
    methods = [method_key(one.kind, one.name) for one in menu.methods if one.kind in KINDS]

    def model() -> str:
        if values["model"] not in models:
            raise unknown("model that can be loaded", values["model"], models, "model")
        return values["model"]

    readers: dict[str, Callable[[], Any]] = {
        "title": lambda: project_title(values["title"], "class"),
        "model": model,
        "methods": lambda: check_methods(typed.methods, methods),
        "seats": lambda: seats_of(values["seats"]),
        "limits": lambda: read_limits(values),
    }
    given, problems = {}, []
    for name, reader in readers.items():
        try:
            given[name] = reader()
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems=problems)
    return given


def shown_of(typed: Typed, store: Store) -> dict[str, Any]:
    """What the form's template shows; without a worker's word there is nothing to choose."""
    menu = store.announcement()
    methods = menu.methods if menu else ()
    return {
        "typed": typed.values,
        "chosen": typed.methods,
        "errors": typed.problems,
        "models": [(m.id, m.title or m.id) for m in (menu.models if menu else ()) if not m.problem],
        "kinds": [
            (WORDS[kind], [(method_key(kind, m.name), m.title) for m in methods if m.kind == kind])
            for kind in KINDS
        ],
    }
