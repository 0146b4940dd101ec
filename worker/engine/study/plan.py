"""What a study computes, stage by stage; each stage's child runs may go to any worker.

1. Every localization, once per seed and shared by the masks that choose from it.
2. The search: every combination of a method's searched options, for each mask alike, on the
   search seed; the best by the study's score is kept, and every trial is reported.
3. The edits: mask × method × seed, with the options that the search chose.
4. The evaluations of every edit.

A child that fails is reported with its reason and leaves a gap; it never stops the study.
"""

from collections.abc import Mapping, Sequence
from itertools import product

from worker.contract.spec import EditedModel, EvaluateSpec, LocalizeSpec, Spec, StudySpec
from worker.contract.study import StudyMask
from worker.engine.study.masks import Located, Masks, key_of
from worker.engine.study.outcome import Cell, Child, Children, Outcome
from worker.engine.study.search import search_options, unlearn_spec


def conduct(spec: StudySpec, children: Children, parameters: Mapping[str, int]) -> Outcome:
    """Run a study's four stages; `parameters` counts every component's parameters."""
    outcome = Outcome()
    seeds = list(spec.seeds)
    searched = any(method.search for method in spec.methods.values())
    search_seed = spec.score.search_seed if spec.score and searched else None
    located = _localize(spec, [*seeds, *([] if search_seed is None else [search_seed])], children)
    masks = Masks(spec, located, parameters, outcome)
    if search_seed is not None:
        search_options(spec, masks, search_seed, children, outcome)
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
    forget = mask.localization.forget or spec.facts.forget
    return LocalizeSpec(
        model=spec.model,
        dtype=spec.dtype,
        seed=seed,
        facts=spec.facts.model_copy(update={"forget": forget}),
        method=mask.localization.method,
        options=mask.localization.options,
    )


def _edit(spec: StudySpec, masks: Masks, children: Children, outcome: Outcome) -> None:
    wanted: dict[Cell, Spec] = {}
    for name, method_name, seed in product(spec.masks, spec.methods, spec.seeds):
        mask = masks.spec(name, seed)
        if mask is not None:
            options = outcome.chosen.get((name, method_name), {})
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
