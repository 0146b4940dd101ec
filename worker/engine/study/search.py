"""The searches of a study: the same trials for every mask, on facts that no seed compares."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.mask import MaskSpec
from worker.contract.result import Result
from worker.contract.selection import FactsSpec, besides, select
from worker.contract.spec import Spec, StudySpec, UnlearnSpec
from worker.contract.study import Score, StudyMethod
from worker.engine.study.masks import Masks
from worker.engine.study.outcome import Children, Outcome, Trial

WIDENINGS = 4
"""Steps of its grid, at most, by which a search goes on beyond the values that were named."""
SURE = 1e-6
"""Log-odds are taken of probabilities not nearer to 0 and 1 than this."""

Key = tuple[str, str, int]
"""A mask, a method and the search's seed."""
Options = dict[str, Any]


def search_options(spec: StudySpec, masks: Masks, children: Children, outcome: Outcome) -> None:
    """Try every combination for each mask alike; keep the best by the study's score.

    A grid of numbers whose best trial lies at its end is widened by its own step, until the best
    lies inside or WIDENINGS steps were made.
    """
    assert spec.score is not None
    wanted: list[tuple[Key, Options]] = [
        ((name, method, seed), options)
        for seed in spec.score.seeds
        for name, method in product(spec.masks, spec.methods)
        if spec.methods[method].search
        for options in combinations(spec.methods[method])
    ]
    for widening in range(WIDENINGS + 1):
        _try(spec, wanted, masks, children, outcome)
        if widening < WIDENINGS:
            keys = dict.fromkeys(key for key, _ in wanted)
            wanted = [
                (key, options)
                for key in keys
                for options in _wider(spec.methods[key[1]], _trials(outcome, key))
            ]
    for trial in outcome.trials:
        key = trial.mask, trial.method, trial.seed
        if best := _best(_trials(outcome, key)):
            outcome.chosen[key] = best.options


def facts_of(spec: StudySpec, facts: FactsSpec, seed: int) -> FactsSpec:
    """The facts of a child: a search's are as many others than any seed's comparison forgets."""
    if spec.score is None or seed not in spec.score.seeds:
        return facts
    return facts.model_copy(update={"forget": besides(facts.forget, spec.seeds)})


def check_search_facts(spec: StudySpec, fact_set: FactSet) -> None:
    """Refuse a study whose searches would find too few facts that its seeds leave over."""
    if spec.score is None or not any(method.search for method in spec.methods.values()):
        return
    try:
        select(fact_set, facts_of(spec, spec.facts, spec.score.search_seed).forget)
    except UserError as error:
        raise UserError(f"The search finds no facts. {error.message}", field="seeds") from None


def _try(
    spec: StudySpec,
    wanted: Sequence[tuple[Key, Options]],
    masks: Masks,
    children: Children,
    outcome: Outcome,
) -> None:
    asked: list[tuple[Key, Options, Spec]] = []
    for key, options in wanted:
        name, method, seed = key
        mask = masks.spec(name, seed)
        if mask is not None:
            trial = unlearn_spec(spec, mask, spec.methods[method], options, seed)
            asked.append((key, options, trial))
    assert spec.score is not None
    found = children([trial for *_, trial in asked], "searching") if asked else []
    for ((name, method, seed), options, _), child in zip(asked, found, strict=True):
        score = score_of(child.result, spec.score)
        outcome.trials.append(Trial(name, method, options, score, child.handle, seed))
        if child.result is None:
            outcome.failures.append((f"{name}, {method}, trial {options}", child.reason))


def _trials(outcome: Outcome, key: Key) -> list[Trial]:
    return [t for t in outcome.trials if (t.mask, t.method, t.seed) == key]


def _best(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest score; of equal ones the first."""
    scored = [trial for trial in trials if trial.score is not None]
    return max(scored, key=lambda trial: trial.score or 0.0, default=None)


def _wider(method: StudyMethod, trials: Sequence[Trial]) -> Iterator[Options]:
    """The best trial with one option a step beyond its grid, for each where the best is the end."""
    best = _best(trials)
    for name, values in method.search.items():
        grid = _grid(values)
        if best is None or not grid:
            continue
        tried = sorted({trial.options[name] for trial in trials})
        value = best.options[name]
        if value in (tried[0], tried[-1]):
            step = grid[1] / grid[0] if value == tried[0] else grid[-1] / grid[-2]
            beyond = value / step if value == tried[0] else value * step
            number = round(beyond) if isinstance(value, int) else float(f"{beyond:.4g}")
            if number > 0 and number not in tried:
                yield {**best.options, name: number}


def _grid(values: Sequence[Any]) -> list[float]:
    """The values in order where they are three or more different positive numbers, else none."""
    numbers = sorted({v for v in values if isinstance(v, int | float) and v is not True and v > 0})
    return numbers if len(numbers) == len(values) >= 3 else []


def combinations(method: StudyMethod) -> list[Options]:
    """Every combination of a method's searched options."""
    names = list(method.search)
    return [dict(zip(names, values, strict=True)) for values in product(*method.search.values())]


def score_of(result: Result | None, score: Score) -> float | None:
    """The smallest of the named numbers, on the score's scale; None when one is missing."""
    if result is None:
        return None
    values = [result.summary.get(name) for name in score.names]
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    if len(numbers) != len(score.names):
        return None
    return min(_log_odds(v) for v in numbers) if score.scale == "log_odds" else min(numbers)


def _log_odds(probability: float) -> float:
    p = min(max(probability, SURE), 1 - SURE)
    return math.log(p / (1 - p))


def unlearn_spec(
    spec: StudySpec, mask: MaskSpec, method: StudyMethod, options: Options, seed: int
) -> UnlearnSpec:
    """The edit of one mask by one method with these options."""
    return UnlearnSpec(
        model=spec.model,
        dtype=spec.dtype,
        seed=seed,
        facts=facts_of(spec, spec.facts, seed),
        mask=mask,
        method=method.method,
        options={**method.options, **options},
    )
