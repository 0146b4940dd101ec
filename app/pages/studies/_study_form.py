"""A study's form: masks × methods × seeds × evaluations, as a spec.

A mask is `localization:METHOD`, `localization:METHOD:mlp` (its MLPs alone),
`localization:METHOD:suggested` (the method's own choice), `control:KIND` or `stored:ID`. The mask
that sets the budget takes what its localization itself suggests, or is stored; all others choose
components until its parameter count is reached.
"""

from typing import Any, get_args

from app.experiment import Typed, collect, read_dtype, read_facts, read_model, read_seed
from app.forms import Problems
from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.mask import ControlKind
from worker.contract.menu import Announcement, MethodInfo, MethodKind
from worker.engine.client import Engine
from worker.store.store import Store

CONTROLS = {
    "random": "Random components of the same size",
    "random_mlps": "Random MLPs of the same size",
    "all_mlps": "All MLPs",
    "all": "Everything",
}
assert set(CONTROLS) == set(get_args(ControlKind))
USUAL_MASKS = ("localization:fact_lookup", "localization:causal_tracing", "control:random_mlps")
SEARCH_SEED = 1000
UNBOUND = 3
"""Components that a localization chooses where no mask sets a budget."""
OBJECTIVES = (("edit", "say the edit target"), ("unlearn", "no longer say the target"))


def named(menu: Announcement, kind: MethodKind) -> list[MethodInfo]:
    """The announced methods of a kind."""
    return [method for method in menu.methods if method.kind == kind]


def evaluations_of(menu: Announcement) -> list[MethodInfo]:
    """The evaluations that a study's cells can have: those that ask about no mask of their own."""
    return [m for m in named(menu, "evaluation") if not m.options.get("needs_mask")]


def mask_choices(store: Store, menu: Announcement) -> list[tuple[str, str, str]]:
    """(value, title, group of choices) of every mask that can be compared."""
    found = []
    for method in named(menu, "localization"):
        found.append((f"localization:{method.name}", method.title, "Localizations"))
        found.append(
            (f"localization:{method.name}:mlp", f"{method.title}, MLPs alone", "Localizations")
        )
        if method.suggests:
            own = f"{method.title}, its own choice"
            found.append((f"localization:{method.name}:suggested", own, "Localizations"))
    found += [(f"control:{kind}", title, "Controls") for kind, title in CONTROLS.items()]
    found += [
        (f"stored:{mask.id}", f"{mask.name}, version {mask.version}", "Stored masks")
        for mask in store.masks()
    ]
    return found


def chosen(form: Typed, field: str, usual: tuple[str, ...], known: list[str]) -> list[str]:
    """What is ticked and known; the usual ones on a form that was not sent."""
    if (ticked := _ticked(form, field)) is not None:
        return [v for v in ticked if v in known]
    return [v for v in usual if v in known] or known[:1]


def _ticked(form: Typed, field: str) -> list[str] | None:
    if form.given is None or f"{field}.asked" not in form.given:
        return None
    return [v for v in form.given.getlist(field) if isinstance(v, str)]


def _strangers(form: Typed, field: str, what: str, known: list[str]) -> Problems:
    """What is ticked without being known: each is refused with the nearest name."""
    return [
        (field, unknown(what, value[:80], known).message)
        for value in _ticked(form, field) or ()
        if value not in known
    ]


def read(form: Typed, engine: Engine, menu: Announcement) -> tuple[dict[str, Any], Problems]:
    """Read the form as a spec."""
    problems: Problems = []
    choices = {value: title for value, title, _ in mask_choices(engine.store, menu)}
    masks = chosen(form, "masks", USUAL_MASKS, list(choices))
    budget = form.get("budget", next((m for m in masks if not m.startswith("control:")), ""))
    evaluations = [m.name for m in evaluations_of(menu)]
    spec: dict[str, Any] = {
        "kind": "study",
        "model": collect(problems, read_model, form.get("model", "demo"), engine.store),
        "facts": collect(problems, read_facts, form),
        "seed": collect(problems, read_seed, form),
        **read_dtype(form),
        "seeds": collect(problems, _seeds, form.get("seeds", "0, 1, 2")),
        "masks": {
            _name(value): _mask(value, choices[value], budget, engine.store) for value in masks
        },
        "methods": collect(problems, _methods, form, menu) or {},
        "evaluations": chosen(form, "evaluations", ("probes",), evaluations),
    }
    problems += _strangers(form, "masks", "mask", list(choices))
    problems += _strangers(form, "evaluations", "evaluation", evaluations)
    problems += _strangers(
        form, "methods", "unlearning method", [m.name for m in named(menu, "unlearning")]
    )
    problems += _check(masks, budget, spec)
    if budget in masks:
        spec |= {"budget": _name(budget), "reference": _name(budget)}
    if any(method.get("search") for method in spec["methods"].values()):
        names = ["quick.edit_probability.after", "quick.retain_probability.after"]
        spec["score"] = {"names": names, "scale": "log_odds", "search_seed": SEARCH_SEED}
    return spec, problems


def _name(value: str) -> str:
    return value.partition(":")[2].replace(":", "_")


def _mask(value: str, title: str, budget: str, store: Store) -> dict[str, Any]:
    source, _, name = value.partition(":")
    if source == "control":
        return {"title": title, "control": name}
    if source == "stored":
        return {"title": title, "components": list(store.mask(name).components)}
    method, _, only = name.partition(":")
    found = {"title": title, "localization": {"method": method}, "only": only or "whole"}
    if value == budget or only == "suggested":
        return {**found, "only": "whole" if only == "suggested" else only or "whole"} | {
            "suggested": True
        }
    return found if budget else {**found, "rule": {"top": UNBOUND, "only": only or "whole"}}


def _check(masks: list[str], budget: str, spec: dict[str, Any]) -> Problems:
    problems: Problems = []
    for field, words in (("masks", "mask"), ("methods", "method"), ("evaluations", "evaluation")):
        if not spec[field]:
            problems.append((field, f"No {words} is ticked; expected at least one."))
    if budget and budget not in masks:
        problems.append(("budget", "The mask that sets the budget is not ticked; tick it too."))
    if not budget and any(m in ("control:random", "control:random_mlps") for m in masks):
        problems.append(
            ("budget", "Random controls are as large as another mask; say which sets the budget.")
        )
    return problems


def _seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) < 2**31 for part in parts):
        raise UserError(
            f"seeds is {text[:60]!r}; expected whole numbers with commas between them.",
            field="seeds",
        )
    return [int(part) for part in parts]


def _methods(form: Typed, menu: Announcement) -> dict[str, Any]:
    known = {m.name: m for m in named(menu, "unlearning")}
    names = chosen(form, "methods", ("localized_finetuning",), list(known))
    rates, objective = _rates(form.get("rates", "")), form.get("objective", "edit")
    if rates and objective != "edit":
        raise UserError(
            "Rates are searched by how well the edit target is said; leave them out, or choose "
            "the objective edit.",
            field="rates",
        )
    return {name: _method(known[name], objective, rates) for name in names}


def _method(method: MethodInfo, objective: str, rates: list[float]) -> dict[str, Any]:
    has = method.options.get("properties", {})
    found: dict[str, Any] = {"title": method.title, "method": method.name}
    if "objective" in has:
        found["options"] = {"objective": objective}
    if rates and "learning_rate" in has:
        found["search"] = {"learning_rate": rates}
    return found


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        rates = [-1.0]
    if any(not 0 < rate <= 1 for rate in rates):
        raise UserError(
            f"rates is {text[:60]!r}; expected numbers above 0 and up to 1 with commas between.",
            field="rates",
        )
    return rates
