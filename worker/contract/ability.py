"""Which worker can compute what: its models without a problem, methods with options, memory.

A spec makes one demand, to be met by one worker; a study makes one for each kind of child run, and
these may go to different workers. Workers are told apart by what each announced.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from worker.contract.base import Contract
from worker.contract.menu import Announcement, MethodKind, ModelInfo
from worker.contract.named import Problems, methods_of, unable_method
from worker.contract.spec import AddSpec, RunKind, Spec, StudySpec

CHILDREN: dict[MethodKind, RunKind] = {
    "localization": "localize",
    "unlearning": "unlearn",
    "evaluation": "evaluate",
    "explore": "explore",
}


class Needed(Contract):
    """A method that a run computes, and the options that it is given."""

    kind: MethodKind
    name: str
    field: str
    options: tuple[str, ...]
    """Their names."""
    prefix: str
    """Of the options' fields."""


class Demand(Contract):
    """What one worker must have for one run."""

    kind: RunKind
    model: str
    in_8bit: bool = False
    methods: tuple[Needed, ...] = ()
    recipe: str = ""
    """The recipe of a model that is not there yet; its name is the model's."""


def demands(spec: Spec) -> tuple[Demand, ...]:
    """What a spec demands: once, or of a study once for each kind of child."""
    if isinstance(spec, AddSpec):
        return (Demand(kind="add", model=spec.base, recipe=spec.base),)
    needed = [_needed(*named) for named in methods_of(spec)]
    if not isinstance(spec, StudySpec):
        in_8bit = spec.load_in == "8bit"
        return (Demand(kind=spec.kind, model=spec.base, in_8bit=in_8bit, methods=tuple(needed)),)
    asked = tuple(one for one in needed if one.kind == "evaluation")
    alone = [(one,) for one in needed if one.kind != "evaluation"]
    groups = [*alone, asked] if asked else alone
    return tuple(Demand(kind=CHILDREN[g[0].kind], model=spec.base, methods=g) for g in groups)


def hindrances(demand: Demand, menu: Announcement) -> Problems:
    """Why the worker that announced `menu` cannot meet a demand; each as the end of a sentence
    that begins with the worker, under the field of the spec. Empty when it can."""
    if demand.recipe:
        known = {recipe.name for recipe in menu.recipes}
        return [] if demand.recipe in known else [("model", f"has no recipe {demand.recipe!r}")]
    info = model_of(menu, demand.model)
    if info is None:
        return [("model", f"does not have the model {demand.model!r}")]
    if info.problem:
        return [("model", f"cannot load {demand.model!r}: {info.problem.rstrip('.')}")]
    needed, there = memory_for(demand, info, "load"), menu.memory_bytes
    if there and needed > there:
        return [("model", f"has {_size(there)} of memory, and {info.id!r} takes {_size(needed)}")]
    return [problem for one in demand.methods for problem in _lacking(one, menu, info)]


def has_room(demand: Demand, menu: Announcement) -> bool:
    """Whether the device has the memory that such a run is estimated to take at most."""
    info = model_of(menu, demand.model)
    if info is None or not menu.memory_bytes:
        return True
    return memory_for(demand, info, demand.kind) <= menu.memory_bytes


def can(spec: Spec, menu: Announcement) -> bool:
    """Whether one worker can compute all that a spec demands."""
    return not any(hindrances(demand, menu) for demand in demands(spec))


def takers(
    spec: Spec, menus: Mapping[str, Announcement], halted: Container[str] = (), moved_to: str = ""
) -> frozenset[str]:
    """The workers to which a run may go: those that can, and of these those with room, if any.

    Those that are `halted` take none; one that it was `moved_to` takes it alone while it can.
    """
    able = [id for id, menu in menus.items() if can(spec, menu)]
    if moved_to in able:
        return frozenset(() if moved_to in halted else (moved_to,))
    able = [id for id in able if id not in halted]
    roomy = [id for id in able if all(has_room(d, menus[id]) for d in demands(spec))]
    return frozenset(roomy or able)


def why_nobody(spec: Spec, menus: Mapping[str, Announcement]) -> Problems:
    """Why none of these workers can do what a spec demands; empty when each demand has one."""
    found: dict[str, str] = {}
    for demand, field, words in _unmet(spec, menus):
        found.setdefault(field, f"{words} {_cure(demand)}")
    return list(found.items())


def why_waits(
    spec: Spec,
    menus: Mapping[str, Announcement],
    halted: Mapping[str, str] = {},
    moved_to: str = "",
) -> str:
    """Why a run that was queued is taken by none of these workers, and the cure; empty when one
    takes it. What it demands was there when it was queued.

    `halted` says why a worker takes nothing, as the end of a sentence that begins with it;
    `moved_to` is the worker to which the run was moved.
    """
    if moved_to in menus and can(spec, menus[moved_to]):
        if moved_to not in halted:
            return ""
        return (
            f"It was moved to the worker {moved_to}, which {halted[moved_to]}. {_STAYS} It begins "
            f"when that worker is resumed, or when it is moved to another one."
        )
    for demand, _, words in _unmet(spec, menus, halted):
        able = [id for id in halted if id in menus and not hindrances(demand, menus[id])]
        if able:
            return f"{words} {_STAYS} It begins when {' or '.join(able)} is resumed."
        return f"{words} {_STAYS} {_PUT_BACK}"
    return ""


_STAYS = "The run waits and nothing of it is lost."
_PUT_BACK = "Put back what is missing, or start a worker that has it; or cancel the run."


def _unmet(
    spec: Spec, menus: Mapping[str, Announcement], halted: Mapping[str, str] = {}
) -> Iterator[tuple[Demand, str, str]]:
    """The demands that nobody meets, each with a field of the spec and a sentence."""
    for demand in demands(spec):
        reasons = {id: hindrances(demand, menu) for id, menu in menus.items()}
        for id in reasons:
            if not reasons[id] and id in halted:
                reasons[id] = [("", halted[id])]
        if not reasons or not all(reasons.values()):
            continue
        field = next(iter(reasons.values()))[0][0]
        said = "; ".join(f"{id} {problems[0][1]}" for id, problems in reasons.items())
        yield demand, field, f"No worker that is alive can {_what(demand)}: {said}."


def model_of(menu: Announcement, id: str) -> ModelInfo | None:
    """The model of this id, as a worker announced it."""
    return next((info for info in menu.models if info.id == id), None)


def memory_for(demand: Demand, info: ModelInfo, kind: str) -> int:
    """The bytes that a kind of run, or `load`, is estimated to take; 0 when that is not known."""
    known = info.memory_bytes_8bit if demand.in_8bit else info.memory_bytes
    return known.get(kind, known.get("load", 0))


def _needed(
    kind: MethodKind, name: str, field: str, options: Mapping[str, Any], prefix: str
) -> Needed:
    return Needed(kind=kind, name=name, field=field, options=tuple(options), prefix=prefix)


def _lacking(needed: Needed, menu: Announcement, info: ModelInfo) -> Problems:
    found = (m for m in menu.methods if (m.kind, m.name) == (needed.kind, needed.name))
    method = next(found, None)
    if method is None:
        return [(needed.field, f"does not have the {needed.kind} {needed.name!r}")]
    known = method.options.get("properties", {})
    strange = [name for name in needed.options if known and name not in known]
    if strange:
        return [
            (f"{needed.prefix}.{strange[0]}", f"has {needed.name!r} without {strange[0]!r}"),
        ]
    why = unable_method(method.needs, info.lacks)
    return [(needed.field, f"has {info.id!r}, on which it does not work: {why}")] if why else []


def _what(demand: Demand) -> str:
    if demand.recipe:
        return f"make the model {demand.recipe!r}"
    names = ", ".join(repr(one.name) for one in demand.methods)
    return f"compute {names} on {demand.model!r}" if names else f"load {demand.model!r}"


def _cure(demand: Demand) -> str:
    if demand.recipe:
        return "Start a worker that has it."
    return "Choose what one of them has, or start a worker that has it all."


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.3g} GB"
