"""How long a run would take: its work by formula, at the rate that was measured of this device.

1. The work of the method, or of each evaluation, is counted from the model's sizes and the facts'
lengths (`of_localization.py`, `of_unlearning.py`, `of_evaluation.py`). 2. The device's rate is
measured once (`rate.py`). 3. What this machine's finished runs took, over what they had been told,
corrects each part (`Inputs.paces`). Nothing of the run is tried, and no weights are needed.

What this process measured of the base before, and keeps, is left out (`measured_before.py`). What
the model is asked before the run's own parts is told apart (`asked_first.py`).

Limits: a search for settings is counted as USUAL_TRIALS trainings, and takes three to seven; where
a training stops early, or facts are left out, it takes less. Loading a model is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker.contract.facts import Fact
from worker.contract.inputs import Inputs
from worker.contract.menu import MethodKind
from worker.contract.pace import work_name
from worker.contract.selection import select
from worker.contract.spec import EvaluateSpec, LocalizeSpec, Spec, StudySpec, UnlearnSpec
from worker.core.ahead import of_evaluation, of_localization, of_unlearning
from worker.core.ahead.measured_before import kept_of_edit, kept_of_evaluation
from worker.core.ahead.rate import rate_of
from worker.core.ahead.scene import Scene, look, with_own_text
from worker.core.models.model import Model
from worker.core.registry import method
from worker.core.training.auto import USUAL_TRIALS, is_asked, starting_point
from worker.core.training.options import Training
from worker.core.training.rehearsal import in_trials

FORMULAS = {
    "localization": of_localization.FORMULAS,
    "unlearning": of_unlearning.FORMULAS,
    "evaluation": of_evaluation.FORMULAS,
}


@dataclass(frozen=True)
class Part:
    """A method's or an evaluation's share of a run."""

    work: str
    seconds: float | None
    """Uncorrected; None for a method without a formula, which is a plugin."""
    times: float = 1.0
    """How often a study does it."""
    operations: float = 0.0
    """Of matrix products, of which the seconds are made up for the most part."""
    unspared: float | None = None
    """Seconds if nothing were kept, where something is: what a pace is learnt by."""


def estimate_parts(
    spec: Spec, inputs: Inputs, model: Model, usable: Sequence[Fact] | None = None
) -> list[Part]:
    """Estimate each part of a run, in the order in which they are computed.

    `usable` are the facts that are not left out; None takes all that the spec chooses. Only
    sizes, tokenizer and device of `model` are asked.
    """
    scene = scene_of(spec, inputs, model, usable)
    if scene is None:
        return []
    return list(_parts(spec, inputs, scene, model))


def scene_of(
    spec: Spec, inputs: Inputs, model: Model, usable: Sequence[Fact] | None = None
) -> Scene | None:
    """Look at a run's facts on its model; None where a run has none."""
    facts = inputs.fact_set
    if facts is None or not isinstance(spec, LocalizeSpec | UnlearnSpec | EvaluateSpec | StudySpec):
        return None
    chosen = select(facts, spec.facts.forget, spec.seed)
    return look(
        model,
        chosen.forget if usable is None else usable,
        retain=chosen.retain,
        brought=inputs.brought,
        mask=inputs.mask,
        states=2 if inputs.deltas or _intervenes(spec) else 1,
        changed=_changed(spec, inputs),
        in_deltas=sum(map(size_of, inputs.deltas)) / model.dtype.itemsize,
        texts={name: size_of(path) for name, path in inputs.texts.items()},
    )


def size_of(path: str) -> int:
    """Bytes of a local file."""
    return Path(path).stat().st_size


def _changed(spec: Spec, inputs: Inputs) -> list[int]:
    """Count the facts of each edit below, or of each that a stack is made of."""
    if isinstance(spec, UnlearnSpec) and inputs.stacked:
        named = spec.options.get("edits", ())
        return [len(inputs.stacked[one].facts) for one in named if one in inputs.stacked]
    return [len(facts) for facts in inputs.edited]


def _intervenes(spec: Spec) -> bool:
    return isinstance(spec, EvaluateSpec) and bool(spec.interventions)


def estimate_seconds(parts: Sequence[Part], paces: dict[str, float]) -> float | None:
    """Add the parts up, each corrected; None where one cannot be known beforehand."""
    if not parts or any(part.seconds is None for part in parts):
        return None
    return sum(part.times * (part.seconds or 0.0) * paces.get(part.work, 1.0) for part in parts)


def _parts(spec: Spec, inputs: Inputs, scene: Scene, model: Model) -> Iterator[Part]:
    """Each part without what was measured of its base before."""
    if isinstance(spec, LocalizeSpec):
        yield _part("localization", spec.method, spec.options, scene, model)
    elif isinstance(spec, UnlearnSpec):
        options = method("unlearning", spec.method).options.model_validate(spec.options)
        kept = kept_of_edit(options, spec, inputs, model)
        yield _spared("unlearning", spec.method, spec.options, scene, kept, model)
    elif isinstance(spec, EvaluateSpec):
        for name in spec.evaluations:
            given = spec.options.get(name, {})
            options = method("evaluation", name).options.model_validate(given)
            kept = kept_of_evaluation(name, options, spec, inputs, model)
            yield _spared("evaluation", name, given, scene, kept, model)
    elif isinstance(spec, StudySpec):
        yield from _study(spec, scene, model)


def _spared(
    kind: MethodKind,
    name: str,
    given: dict[str, Any],
    scene: Scene,
    kept: frozenset[str],
    model: Model,
) -> Part:
    """Leave out what is kept of the base."""
    whole = _part(kind, name, given, scene, model)
    if not kept:
        return whole
    own = replace(scene, kept=kept, states=scene.states - ("base" in kept))
    return replace(_part(kind, name, given, own, model), unspared=whole.seconds)


def _study(spec: StudySpec, scene: Scene, model: Model) -> Iterator[Part]:
    """Localizations once per seed, and for each mask, method and seed an edit and its evaluations.

    A search's trials are edits on one seed. The base is evaluated once; see `BeforeAfter`.
    """
    shared = {
        mask.localization.model_dump_json(): mask.localization
        for mask in spec.masks.values()
        if mask.localization is not None
    }
    n_seeds, n_masks = len(spec.seeds), len(spec.masks)
    for found in shared.values():
        one = _part("localization", found.method, found.options, scene, model)
        yield Part(one.work, one.seconds, n_seeds)
    for chosen in spec.methods.values():
        trials = 1
        for values in chosen.search.values():
            trials *= max(1, len(values))
        searched = trials if chosen.search else 0
        one = _part("unlearning", chosen.method, chosen.options, scene, model)
        yield Part(one.work, one.seconds, n_masks * (n_seeds + searched))
    for name in spec.evaluations:
        one = _part("evaluation", name, spec.options.get(name, {}), scene, model)
        yield Part(one.work, one.seconds, n_seeds * (n_masks * len(spec.methods) + 1))


def _part(kind: MethodKind, name: str, given: dict[str, Any], scene: Scene, model: Model) -> Part:
    formula = FORMULAS[kind].get(name)
    if formula is None:
        return Part(work_name(kind, name), None)
    options = method(kind, name).options.model_validate(given)
    scene = with_own_text(scene, model, options)
    if isinstance(options, Training) and is_asked(model, options):
        start = starting_point(model, options)
        trial = formula(scene, in_trials(start, ""))
        trials = 0 if "settings" in scene.kept else USUAL_TRIALS
        work = formula(scene, start) + trial * trials
    else:
        work = formula(scene, options)
    seconds = rate_of(scene.size, model.device, model.dtype).seconds(work)
    return Part(work_name(kind, name), seconds, operations=work.operations)
