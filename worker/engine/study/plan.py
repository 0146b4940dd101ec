"""What a study computes, stage by stage; each stage's child runs may go to any worker.

1. Every localization, once per seed and shared by the masks that choose from it.
2. The search: every combination of a method's searched options, for each mask alike, on the
   search seed; the best by the study's score is kept, and every trial is reported.
3. The edits: mask × method × seed, with the options that the search chose.
4. The evaluations of every edit.

A child that fails is reported with its reason and leaves a gap; it never stops the study.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from worker.contract.facts import FactsSpec
from worker.contract.mask import ControlRule, MaskRule, MaskSpec
from worker.contract.result import Result
from worker.contract.spec import (
    EditedModel,
    EvaluateSpec,
    LocalizeSpec,
    Spec,
    StudySpec,
    UnlearnSpec,
)
from worker.contract.study import StudyLocalization, StudyMask, StudyMethod


@dataclass(frozen=True)
class Child:
    """A finished child run: its id or folder and its result, or the reason of its failure."""

    handle: str
    result: Result | None
    reason: str = ""


Children = Callable[[Sequence[Spec], str], list[Child]]
"""Runs specs (in any order, on any worker) and returns their children in the specs' order."""


@dataclass(frozen=True)
class Cell:
    """One mask under one method and seed."""

    mask: str
    method: str
    seed: int


@dataclass(frozen=True)
class Trial:
    """One combination of a search's options and its score; None when it failed."""

    mask: str
    method: str
    options: dict[str, Any]
    score: float | None
    handle: str


@dataclass
class Outcome:
    """All that a study's children gave."""

    chosen: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    edits: dict[Cell, Child] = field(default_factory=dict)
    evaluations: dict[Cell, Child] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """What failed, and why."""


def conduct(spec: StudySpec, children: Children, parameters: Mapping[str, int]) -> Outcome:
    """Run a study's four stages; `parameters` counts every component's parameters."""
    outcome = Outcome()
    seeds = list(spec.seeds)
    searched = any(method.search for method in spec.methods.values())
    search_seed = spec.score.search_seed if spec.score and searched else None
    located = _localize(spec, [*seeds, *([] if search_seed is None else [search_seed])], children)
    masks = _Masks(spec, located, parameters, outcome)
    if search_seed is not None:
        _search(spec, masks, search_seed, children, outcome)
    _edit(spec, masks, children, outcome)
    _evaluate(spec, children, outcome)
    outcome.failures = list(dict.fromkeys(outcome.failures))
    return outcome


Located = dict[tuple[str, int], Child]


def _localize(spec: StudySpec, seeds: Sequence[int], children: Children) -> Located:
    wanted: dict[tuple[str, int], Spec] = {}
    for mask in spec.masks.values():
        if mask.localization is None:
            continue
        for seed in seeds:
            wanted.setdefault((_key(mask.localization), seed), _localize_spec(spec, mask, seed))
    found = children(list(wanted.values()), "localizing") if wanted else []
    return dict(zip(wanted, found, strict=True))


def _localize_spec(spec: StudySpec, mask: StudyMask, seed: int) -> LocalizeSpec:
    assert mask.localization is not None
    forget = mask.localization.forget or spec.facts.forget
    return LocalizeSpec(
        model=spec.model,
        seed=seed,
        facts=FactsSpec(set=spec.facts.set, forget=forget),
        method=mask.localization.method,
        options=mask.localization.options,
    )


def _key(localization: StudyLocalization) -> str:
    return localization.model_dump_json()


class _Masks:
    """Makes each mask's spec for a seed; the budget is that of the study's budget mask."""

    def __init__(
        self, spec: StudySpec, located: Located, parameters: Mapping[str, int], outcome: Outcome
    ) -> None:
        self._spec, self._located, self._parameters = spec, located, parameters
        self._outcome = outcome

    def spec(self, name: str, seed: int) -> MaskSpec | None:
        """The mask's spec, or None (with the reason noted) when its localization failed."""
        budget = self._budget(seed)
        return self._make(name, seed, budget)

    def _budget(self, seed: int) -> int | None:
        if self._spec.budget is None:
            return None
        mask = self._make(self._spec.budget, seed, None)
        if mask is None or mask.components is None:
            return None
        return sum(self._parameters[name] for name in mask.components)

    def _make(self, name: str, seed: int, budget: int | None) -> MaskSpec | None:
        mask = self._spec.masks[name]
        if mask.components is not None:
            return MaskSpec(components=mask.components)
        if mask.control is not None:
            return MaskSpec(control=ControlRule(kind=mask.control, parameters=budget))
        assert mask.localization is not None
        child = self._located[_key(mask.localization), seed]
        if child.result is None:
            self._outcome.failures.append((f"{name}, seed {seed}", child.reason))
            return None
        if mask.suggested:
            return self._suggested(name, seed, child.result)
        rule = mask.rule or MaskRule(parameters=budget or 1, only=mask.only)
        return MaskSpec(localization=child.handle, rule=rule)

    def _suggested(self, name: str, seed: int, result: Result) -> MaskSpec | None:
        suggested = result.attribution.suggested if result.attribution else None
        if suggested is None:
            self._outcome.failures.append((f"{name}, seed {seed}", "it suggests no components"))
            return None
        return MaskSpec(components=suggested.components)


def _search(
    spec: StudySpec, masks: _Masks, seed: int, children: Children, outcome: Outcome
) -> None:
    assert spec.score is not None
    wanted: list[tuple[str, str, dict[str, Any], Spec]] = []
    for name, method_name in product(spec.masks, spec.methods):
        method = spec.methods[method_name]
        mask = masks.spec(name, seed) if method.search else None
        if mask is None:
            continue
        for options in combinations(method):
            wanted.append((name, method_name, options, _unlearn(spec, mask, method, options, seed)))
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


def _unlearn(
    spec: StudySpec, mask: MaskSpec, method: StudyMethod, options: dict[str, Any], seed: int
) -> UnlearnSpec:
    return UnlearnSpec(
        model=spec.model,
        seed=seed,
        facts=spec.facts,
        mask=mask,
        method=method.method,
        options={**method.options, **options},
    )


def _edit(spec: StudySpec, masks: _Masks, children: Children, outcome: Outcome) -> None:
    wanted: dict[Cell, Spec] = {}
    for name, method_name, seed in product(spec.masks, spec.methods, spec.seeds):
        mask = masks.spec(name, seed)
        if mask is not None:
            options = outcome.chosen.get((name, method_name), {})
            cell = Cell(name, method_name, seed)
            wanted[cell] = _unlearn(spec, mask, spec.methods[method_name], options, seed)
    found = children(list(wanted.values()), "editing")
    _keep(wanted, found, outcome.edits, outcome)


def _evaluate(spec: StudySpec, children: Children, outcome: Outcome) -> None:
    wanted: dict[Cell, Spec] = {
        cell: EvaluateSpec(
            model=EditedModel(base=spec.base, edits=(*spec.edits, child.handle)),
            seed=cell.seed,
            facts=spec.facts,
            evaluations=spec.evaluations,
            options=spec.options,
        )
        for cell, child in outcome.edits.items()
    }
    found = children(list(wanted.values()), "evaluating")
    _keep(wanted, found, outcome.evaluations, outcome)


def _keep(
    wanted: Mapping[Cell, Spec],
    found: Sequence[Child],
    into: dict[Cell, Child],
    outcome: Outcome,
) -> None:
    for cell, child in zip(wanted, found, strict=True):
        if child.result is None:
            where = f"{cell.mask}, {cell.method}, seed {cell.seed}, {wanted[cell].kind}"
            outcome.failures.append((where, child.reason))
        else:
            into[cell] = child
