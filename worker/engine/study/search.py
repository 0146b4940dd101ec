"""The search of a study: the same trials for every mask, on facts that no seed compares."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from worker.contract.mask import MaskSpec
from worker.contract.result import Result
from worker.contract.spec import Spec, StudySpec, UnlearnSpec
from worker.contract.study import StudyMethod
from worker.engine.study.masks import Masks
from worker.engine.study.outcome import Children, Outcome, Trial


def search_options(
    spec: StudySpec, masks: Masks, seed: int, children: Children, outcome: Outcome
) -> None:
    """Try every combination for each mask alike; keep the best by the study's score."""
    assert spec.score is not None
    wanted: list[tuple[str, str, dict[str, Any], Spec]] = []
    for name, method_name in product(spec.masks, spec.methods):
        method = spec.methods[method_name]
        mask = masks.spec(name, seed) if method.search else None
        if mask is None:
            continue
        for options in combinations(method):
            wanted.append(
                (name, method_name, options, unlearn_spec(spec, mask, method, options, seed))
            )
    found = children([entry[-1] for entry in wanted], "searching") if wanted else []
    for (name, method_name, options, _), child in zip(wanted, found, strict=True):
        score = score_of(child.result, spec.score.names)
        outcome.trials.append(Trial(name, method_name, options, score, child.handle))
        if child.result is None:
            outcome.failures.append((f"{name}, {method_name}, trial {options}", child.reason))
    for name, method_name in product(spec.masks, spec.methods):
        own = [t for t in outcome.trials if (t.mask, t.method) == (name, method_name)]
        ranked = sorted((t for t in own if t.score is not None), key=lambda t: -(t.score or 0))
        if ranked:
            outcome.chosen[name, method_name] = ranked[0].options


def combinations(method: StudyMethod) -> list[dict[str, Any]]:
    """Every combination of a method's searched options."""
    names = list(method.search)
    return [dict(zip(names, values, strict=True)) for values in product(*method.search.values())]


def score_of(result: Result | None, names: Sequence[str]) -> float | None:
    """The smallest of the named numbers; None when one is missing."""
    if result is None:
        return None
    values = [result.summary.get(name) for name in names]
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    return min(numbers) if len(numbers) == len(names) else None


def unlearn_spec(
    spec: StudySpec, mask: MaskSpec, method: StudyMethod, options: dict[str, Any], seed: int
) -> UnlearnSpec:
    """The edit of one mask by one method with these options."""
    return UnlearnSpec(
        model=spec.model,
        dtype=spec.dtype,
        seed=seed,
        facts=spec.facts,
        mask=mask,
        method=method.method,
        options={**method.options, **options},
    )
