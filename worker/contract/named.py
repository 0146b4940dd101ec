"""What a spec names: its methods with their options; and what a study lacks before it runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.contract.menu import MethodKind, Need
from worker.contract.spec import (
    EvaluateSpec,
    ExploreSpec,
    LocalizeSpec,
    Spec,
    StudySpec,
    UnlearnSpec,
)
from worker.contract.study import StudyMask

Named = tuple[MethodKind, str, str, dict[str, Any], str]
"""A method that a spec names: kind, name, field, options, the options' prefix."""
Problems = list[tuple[str, str]]
"""Dotted field and sentence."""


def methods_of(spec: Spec) -> list[Named]:
    """Every method that a spec names; a searched value stands as options of its own."""
    if isinstance(spec, LocalizeSpec):
        return [("localization", spec.method, "method", spec.options, "options")]
    if isinstance(spec, UnlearnSpec):
        return [("unlearning", spec.method, "method", spec.options, "options")]
    if isinstance(spec, ExploreSpec):
        return [("explore", spec.view, "view", spec.options, "options")]
    found: list[Named] = []
    if isinstance(spec, EvaluateSpec | StudySpec):
        found += [
            ("evaluation", name, "evaluations", spec.options.get(name, {}), f"options.{name}")
            for name in spec.evaluations
        ]
    if isinstance(spec, StudySpec):
        found += [*_of_methods(spec), *_of_masks(spec)]
    return found


def unable(
    spec: Spec, needs: Mapping[tuple[MethodKind, str], Sequence[Need]], lacks: Mapping[Need, str]
) -> Problems:
    """Say which of a spec's methods need what its model's architecture lacks.

    `needs` are the methods' by kind and name, `lacks` the model's.
    """
    found = [
        (field, f"{name} cannot be used on {spec.base!r}: {why}. Choose another method.")
        for kind, name, field, _, _ in methods_of(spec)
        if (why := unable_method(needs.get((kind, name), ()), lacks))
    ]
    return list(dict(found).items())


def unable_method(needs: Sequence[Need], lacks: Mapping[Need, str]) -> str:
    """Why a method with these needs cannot be used on a model that lacks so much; empty if it can.

    As the end of a sentence.
    """
    return next((lacks[need] for need in needs if need in lacks), "")


def _of_methods(spec: StudySpec) -> Iterator[Named]:
    for name, chosen in spec.methods.items():
        where = f"methods.{name}"
        trials = [{option: v} for option, values in chosen.search.items() for v in values]
        for options in (chosen.options, *trials):
            yield "unlearning", chosen.method, f"{where}.method", options, f"{where}.options"


def _of_masks(spec: StudySpec) -> Iterator[Named]:
    for name, mask in spec.masks.items():
        if (by := mask.localization) is not None:
            where = f"masks.{name}.localization"
            yield "localization", by.method, f"{where}.method", by.options, f"{where}.options"


def study_problems(spec: StudySpec, components: frozenset[str]) -> Problems:
    """Say what a study's masks, budget and seeds lack; `components` are those of its model."""
    problems: Problems = []
    for name, mask in spec.masks.items():
        strange = [c for c in mask.components or () if c not in components]
        if strange or mask.components == ():
            problems.append(
                (
                    f"masks.{name}.components",
                    f"{mask.title!r} names {strange[0]!r}, which {spec.base!r} does not have."
                    if strange
                    else f"{mask.title!r} names no component; expected at least one.",
                )
            )
        if spec.budget is None and needs_budget(mask):
            problems.append(
                (
                    f"masks.{name}",
                    f"{mask.title!r} is as large as the study's budget, and the study has none; "
                    f"expected `budget`, or a rule.",
                )
            )
    if spec.budget is not None and not _sets_budget(spec.masks[spec.budget]):
        problems.append(
            (
                "budget",
                f"{spec.masks[spec.budget].title!r} sets no budget; expected a mask with "
                f"components, or one that takes what its localization suggests.",
            )
        )
    shared = set(spec.score.seeds) & set(spec.seeds) if spec.score is not None else set()
    if shared:
        problems.append(
            (
                "score.search_seed",
                f"The search's seed {min(shared)} is one of the compared seeds; "
                f"expected another, so that nothing is tuned on what is compared.",
            )
        )
    return problems


def needs_budget(mask: StudyMask) -> bool:
    """Whether a mask has no size of its own."""
    if mask.control is not None:
        return mask.control in ("random", "random_mlps")
    return mask.localization is not None and mask.rule is None and not mask.suggested


def _sets_budget(mask: StudyMask) -> bool:
    return mask.components is not None or mask.takes_suggested
