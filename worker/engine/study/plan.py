"""What a study computes, stage by stage; each stage's child runs may go to any worker.

1. Every localization, once per seed and shared by the masks that choose from it.
2. The searches: every combination of a method's searched options, for each mask alike, on facts
   that no seed forgets; a grid whose best trial lies at its end is widened; the best by the
   study's score is kept, and every trial is reported.
3. The edits: mask × method × seed, with the options that a search chose; the seeds take the
   searches in turn.
4. The evaluations of every edit.

A child that fails is reported with its reason and leaves a gap; it never stops the study.
"""

from collections.abc import Mapping, Sequence
from itertools import product

from worker.contract.spec import EditedModel, EvaluateSpec, LocalizeSpec, Spec, StudySpec
from worker.contract.study import StudyMask
from worker.engine.study.masks import Located, Masks, key_of
from worker.engine.study.outcome import Cell, Child, Children, Outcome
from worker.engine.study.search import facts_of, search_options, unlearn_spec


def conduct(spec: StudySpec, children: Children, parameters: Mapping[str, int]) -> Outcome:
    """Run a study's four stages; `parameters` counts every component's parameters."""
    outcome = Outcome()
    seeds = list(spec.seeds)
    searched = any(method.search for method in spec.methods.values())
    searches = spec.score.seeds if spec.score and searched else ()
    located = _localize(spec, [*seeds, *searches], children)
    masks = Masks(spec, located, parameters, outcome)
    if searches:
        search_options(spec, masks, children, outcome)
    _edit(spec, masks, children, outcome)
    _evaluate(spec, children, outcome)
    outcome.failures = list(dict.fromkeys(outcome.failures))
    return outcome


def _localize(spec: StudySpec, seeds: Sequence[int], children: Children) -> Located:
    wanted: dict[tuple[str, int], Spec] = {}
    for mask in spec.masks.values():
        if mask.localization is None:
            continue
        for seed in seeds:
            wanted.setdefault((key_of(mask.localization), seed), _localize_spec(spec, mask, seed))
    found = children(list(wanted.values()), "localizing") if wanted else []
    return dict(zip(wanted, found, strict=True))


def _localize_spec(spec: StudySpec, mask: StudyMask, seed: int) -> LocalizeSpec:
    assert mask.localization is not None
    facts = spec.facts
    if mask.localization.forget is not None:
        facts = facts.model_copy(update={"forget": mask.localization.forget})
    return LocalizeSpec(
        model=spec.model,
        dtype=spec.dtype,
        seed=seed,
        facts=facts_of(spec, facts, seed),
        method=mask.localization.method,
        options=mask.localization.options,
    )


def _edit(spec: StudySpec, masks: Masks, children: Children, outcome: Outcome) -> None:
    wanted: dict[Cell, Spec] = {}
    searches = spec.score.seeds if spec.score else (0,)
    for (number, seed), name, method_name in product(
        enumerate(spec.seeds), spec.masks, spec.methods
    ):
        mask = masks.spec(name, seed)
        if mask is not None:
            search = searches[number % len(searches)]
            options = outcome.chosen.get((name, method_name, search), {})
            cell = Cell(name, method_name, seed)
            wanted[cell] = unlearn_spec(spec, mask, spec.methods[method_name], options, seed)
    found = children(list(wanted.values()), "editing")
    _keep(wanted, found, outcome.edits, outcome)


def _evaluate(spec: StudySpec, children: Children, outcome: Outcome) -> None:
    wanted: dict[Cell, Spec] = {
        cell: EvaluateSpec(
            model=EditedModel(base=spec.base, edits=(*spec.edits, child.handle)),
            dtype=spec.dtype,
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
