"""Choose a mask's components from scores by a rule, and the controls matched to a budget."""

import math
import random
from collections.abc import Mapping

from worker.contract.components import Component, parse_component
from worker.contract.errors import UserError
from worker.contract.mask import ControlKind, Mask, MaskRule
from worker.contract.result import Attribution


def choose(
    scores: Mapping[str, float], parameters: Mapping[str, int], rule: MaskRule, source: str = ""
) -> Mask:
    """Take the components with the largest |score| (score, if signed) that `rule` allows.

    `parameters` counts every component's parameters. With a parameter budget components are
    taken until it is reached (the paper's rule: at least as many parameters as the budget).
    An attention and its own heads are never both taken.
    """

    def size(name: str) -> float:
        return scores[name] if rule.signed else abs(scores[name])

    allowed = [name for name in scores if _allows(rule.only, parse_component(name))]
    wrong = [name for name in allowed if not math.isfinite(scores[name])]
    if wrong:
        raise UserError(
            f"The score of {wrong[0]} is {scores[wrong[0]]}, and so are {len(wrong)} of "
            f"{len(allowed)}; expected numbers, because the largest are chosen. Run the "
            f"localization again.",
            field="mask.localization",
        )
    ranked = sorted(allowed, key=lambda name: (-size(name), parse_component(name).layer, name))
    chosen: list[str] = []
    for name in ranked:
        if _full(chosen, size(name), parameters, rule):
            break
        if not any(_overlap(name, other) for other in chosen):
            chosen.append(name)
    if not chosen:
        raise UserError(
            f"The rule {rule.model_dump(exclude_none=True)} chooses no component; the largest "
            f"score is {max(map(size, allowed), default=0):.3g}. Lower the threshold.",
            field="mask.rule",
        )
    return mask_of(chosen, parameters, source)


def suggested_mask(
    attribution: Attribution | None, parameters: Mapping[str, int], source: str = ""
) -> Mask:
    """Take the components that the method itself chose; UserError, with its reason, for none."""
    found = attribution.suggested if attribution else None
    if found is None:
        why = attribution.no_choice if attribution else ""
        raise UserError(
            f"The localization suggests no components. {why}".strip()
            + ("" if why else " Choose by top, threshold or parameters."),
            field="mask.rule",
        )
    return mask_of(list(found.components), parameters, source)


def control(
    kind: ControlKind, parameters: Mapping[str, int], budget: int | None = None, seed: int = 0
) -> Mask:
    """Make a control: whole MLPs and attentions at random until `budget`, or all of them.

    The paper's Random draws single weight matrices; here it draws whole components, so that a
    control is a mask like any other.
    """
    whole = [name for name in parameters if parse_component(name).head is None]
    mlps = [name for name in whole if parse_component(name).kind == "mlp"]
    if kind in ("all", "all_mlps"):
        return mask_of(whole if kind == "all" else mlps, parameters, f"control: {kind}")
    if budget is None:
        raise UserError(
            f"The control {kind!r} needs a number of parameters; expected mask.control.parameters, "
            f"the count of the mask it is matched to.",
            field="mask.control.parameters",
        )
    pool = list(mlps if kind == "random_mlps" else whole)
    random.Random(seed).shuffle(pool)
    chosen: list[str] = []
    while pool and sum(parameters[name] for name in chosen) < budget:
        chosen.append(pool.pop())
    return mask_of(chosen, parameters, f"control: {kind}, seed {seed}")


def mask_of(names: list[str], parameters: Mapping[str, int], source: str = "") -> Mask:
    """Make a mask of named components in model order, with its parameter count."""
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise UserError(
            f"The model has no component {unknown[0]!r}; it has {len(parameters)}, "
            f"from {next(iter(parameters), '')} to {next(reversed(list(parameters)), '')}.",
            field="mask.components",
        )
    if not names:
        raise UserError("The mask has no component; choose at least one.", field="mask.components")
    ordered = sorted(set(names), key=lambda name: parse_component(name).__str__())
    ordered.sort(key=lambda name: parse_component(name).layer)
    return Mask(
        components=tuple(ordered), n_parameters=sum(parameters[n] for n in ordered), source=source
    )


def _allows(only: str, component: Component) -> bool:
    if only == "head":
        return component.head is not None
    if component.head is not None:
        return only == "all"
    return only in ("all", "whole", component.kind)


def _overlap(one: str, other: str) -> bool:
    return one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _full(
    chosen: list[str], next_size: float, parameters: Mapping[str, int], rule: MaskRule
) -> bool:
    if rule.top is not None:
        return len(chosen) >= rule.top
    if rule.threshold is not None:
        return next_size < rule.threshold
    return sum(parameters[name] for name in chosen) >= (rule.parameters or 0)
