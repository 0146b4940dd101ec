"""What is known of a run before it starts: facts it must leave out, tokens, time, memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.inputs import Inputs
from worker.contract.menu import Preflight, RefusedRow
from worker.contract.selection import select
from worker.contract.spec import (
    LocalizeSpec,
    Spec,
    SpecWithoutFacts,
    UnlearnSpec,
)
from worker.core.ahead.able import (
    refuse_meaningless,
    refuse_unable,
    refuse_unmeasurable,
    refuse_unread,
)
from worker.core.ahead.asked_first import asked_first
from worker.core.ahead.chips import seams
from worker.core.ahead.corruptible import look_ahead
from worker.core.ahead.estimate import Part, estimate_parts, estimate_seconds
from worker.core.ahead.memory_of_run import run_bytes
from worker.core.ahead.placed import describe_loading, refuse_away
from worker.core.asking.about import Resolved, resolve_facts
from worker.core.asking.scoring import score_answers
from worker.core.models.deltas import edited
from worker.core.models.model import Model
from worker.core.models.placement import placement_of
from worker.core.models.prompts import answer_of, cut_at_once, encode_fact, pairs
from worker.core.patching.cases import prepare
from worker.core.patching.shared_answers import shared_answers
from worker.core.registry import method
from worker.core.training.auto import FEWEST_TRIALS, MOST_TRIALS, is_asked, starting_point
from worker.core.training.options import Training

__all__ = ["preflight"]

MAX_LISTED = 200
ASKED = 1_024
"""Chosen facts that the model is asked for; whether it knows the others is said by the run."""
ASKED_KNOWN = 256
"""Facts that are asked before a run to choose those that the model knows."""
CHUNK = 2_000
HARDLY = 0.1
"""Probability below which a fact is hardly known, so that there is little to unlearn."""


@dataclass
class _Looked:
    """The chosen facts: those that can be used, and the reasons why others cannot."""

    usable: list[Fact] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    n_tokens: int = 0
    notes: list[str] = field(default_factory=list)


def preflight(spec: Spec, inputs: Inputs, model: Model, brief: bool = False) -> Preflight:
    """Look at every chosen fact on this model; raise UserError when none can be used.

    A brief one cuts them into tokens and estimates time and memory, and does not run the model,
    which may have no values. Raises UserError too for facts that a training refuses as a whole.
    """
    refuse_unable(spec, model)
    if isinstance(spec, SpecWithoutFacts) or inputs.fact_set is None:
        return Preflight()
    refuse_away(spec, inputs.mask, model)
    first = asked_first(spec, inputs, model)
    resolved = resolve_facts(spec, inputs, model, most=0 if brief else ASKED_KNOWN)
    spec, inputs = resolved.spec, resolved.inputs
    assert not isinstance(spec, SpecWithoutFacts) and inputs.fact_set is not None
    facts = select(inputs.fact_set, spec.facts.forget, spec.seed).forget
    looked = _cut(model, facts, isinstance(spec, UnlearnSpec))
    looked.notes += [*describe_loading(spec, model), *_known_notes(resolved)]
    _refuse(spec, facts, looked)
    refuse_meaningless(spec, inputs)
    refuse_unmeasurable(spec, inputs, model)
    refuse_unread(spec, inputs, model, looked.usable)
    if not brief:
        with edited(model, [Path(path) for path in inputs.deltas]):
            if isinstance(spec, LocalizeSpec):
                _prepare(model, spec, looked, inputs.fact_set.facts)
            elif isinstance(spec, UnlearnSpec):
                _note_unknown(model, looked)
        _refuse(spec, facts, looked)
    if isinstance(spec, UnlearnSpec):
        _note_search(model, spec, looked)
    left_out = [
        RefusedRow(row=row, reason=looked.reasons[fact.id], text=fact.subject[:200])
        for row, fact in enumerate(facts)
        if fact.id in looked.reasons
    ]
    if left_out:
        looked.notes.append(f"{len(left_out)} of {len(facts)} facts are left out.")
    seconds = _rounded(_seconds(spec, inputs, model, looked, first))
    return Preflight(
        n_facts=len(facts) - len(left_out),
        n_tokens=looked.n_tokens,
        seconds=seconds,
        brief=brief,
        memory_bytes=run_bytes(spec, inputs, model, looked.usable),
        left_out=tuple(left_out[:MAX_LISTED]),
        seams=seams(model, looked.usable),
        notes=tuple(looked.notes),
        placement=placement_of(model.hf),
    )


def _known_notes(resolved: Resolved) -> list[str]:
    """Say which facts the model's knowledge chose, or that it is still to be asked."""
    if resolved.later:
        return [
            f"Which facts the model knows is asked first: {resolved.later:,} of them. Measure the "
            f"set under “What the model knows” to choose among them here."
        ]
    return resolved.about.notes if resolved.about else []


def _cut(model: Model, facts: Sequence[Fact], trains: bool) -> _Looked:
    """Cut prompts and answers into tokens as every method does."""
    looked = _Looked()
    for start in range(0, len(facts), CHUNK):
        chunk = facts[start : start + CHUNK]
        with cut_at_once(model, chunk, edits=trains):
            for fact in chunk:
                try:
                    looked.n_tokens += _measure(model, fact, trains)
                    looked.usable.append(fact)
                except UserError as error:
                    looked.reasons[fact.id] = error.message
    return looked


def _measure(model: Model, fact: Fact, trains: bool) -> int:
    """Count a fact's tokens; raise UserError with the reason why it cannot be used."""
    prompt = encode_fact(model, fact)
    answers = [fact.target, *([fact.edit_target] if trains and fact.edit_target.strip() else [])]
    lengths = [len(answer_of(model, fact, answer)) for answer in answers]
    length = len(prompt.ids) + max(lengths)
    if length > model.max_positions:
        raise UserError(
            f"prompt and target have {length} tokens; the model's context has "
            f"{model.max_positions}. Shorten them.",
            field="facts",
        )
    return len(prompt.ids) + lengths[0]


def _refuse(spec: Spec, facts: Sequence[Fact], looked: _Looked) -> None:
    """A run needs a fact; and a training takes all that were chosen, or none."""
    if looked.reasons and (isinstance(spec, UnlearnSpec) or len(looked.reasons) == len(facts)):
        which = "None" if len(looked.reasons) == len(facts) else f"{len(looked.reasons)}"
        can = "can" if which == "None" else "cannot"
        first = " ".join(f"{id}: {reason}" for id, reason in list(looked.reasons.items())[:3])
        raise UserError(
            f"{which} of the {len(facts)} chosen facts {can} be used. {first}",
            field="facts.forget",
        )


def _prepare(model: Model, spec: LocalizeSpec, looked: _Looked, pool: tuple[Fact, ...]) -> None:
    """Leave out what the localization would leave out: unknown facts, foils that are none,
    corruptions that change nothing or have no prompt of the same length."""
    options = method("localization", spec.method).options.model_validate(spec.options)
    bound = getattr(options, "min_probability", None)
    if bound is None or _probes(options, looked.usable, pool):
        return
    asked = looked.usable[:ASKED]
    with cut_at_once(model, asked):
        prepared = prepare(model, asked, bound, _needs_foil(spec.method, options))
        look_ahead(model, prepared, options, method=spec.method, seed=spec.seed, pool=pool)
    if len(asked) < len(looked.usable):
        looked.notes.append(
            f"The model was asked for the first {len(asked)} of {len(looked.usable)} facts; the "
            f"run leaves out what it does not know of the others."
        )
    if prepared.instead:
        looked.notes.append(
            f"{len(prepared.instead)} facts are corrupted with random tokens. "
            f"{next(iter(prepared.instead.values()))}"
        )
    if prepared.unreached:
        looked.notes.append(
            f"{len(prepared.unreached)} facts share subject tokens with their corrupted prompts. "
            f"{next(iter(prepared.unreached.values()))}"
        )
    looked.reasons |= {out.id: out.reason for out in prepared.left_out}
    looked.usable = [fact for fact in looked.usable if fact.id not in looked.reasons]


def _probes(options: Any, facts: Sequence[Fact], pool: Sequence[Fact]) -> bool:
    """Whether facts of the whole set are probed, so that the chosen ones need not be known."""
    by = getattr(options, "by", "")
    return by == "probe" or (by == "auto" and bool(shared_answers(facts, pool)))


def _needs_foil(name: str, options: Any) -> bool:
    """Whether a method compares with the edit target: by its metric, or by what it is."""
    if hasattr(options, "metric"):
        return bool(options.metric == "logit_diff")
    return name in ("direct_logit_attribution",) or getattr(options, "by", "") == "path_patching"


def _note_unknown(model: Model, looked: _Looked) -> None:
    """Say how many facts there is little to unlearn of; they are trained on all the same."""
    asked = looked.usable[:ASKED]
    scores = score_answers(model, pairs(asked))
    hardly = [f for f, p in zip(asked, scores.log_prob.exp().tolist(), strict=True) if p < HARDLY]
    if hardly:
        named = ", ".join(fact.subject[:40] for fact in hardly[:5])
        looked.notes.append(
            f"The model gives {len(hardly)} of {len(asked)} targets a probability below {HARDLY:g} "
            f"({named}{', …' if len(hardly) > 5 else ''}); of these there is little to unlearn."
        )


def _seconds(
    spec: Spec, inputs: Inputs, model: Model, looked: _Looked, first: Part | None
) -> float | None:
    """Estimate the run's time with what is asked first; say in words why it cannot be known."""
    parts = estimate_parts(spec, inputs, model, looked.usable) + ([first] if first else [])
    unknown = [part.work for part in parts if part.seconds is None]
    if unknown:
        looked.notes.append(
            f"How long it takes is not known beforehand: {unknown[0]} has no formula of its work."
        )
    return estimate_seconds(parts, inputs.paces)


def _note_search(model: Model, spec: UnlearnSpec, looked: _Looked) -> None:
    """Say that settings will be searched first, and what that costs; the time told holds it."""
    options = method("unlearning", spec.method).options.model_validate(spec.options)
    if isinstance(options, Training) and is_asked(model, options):
        start = starting_point(model, options)
        looked.notes.append(
            f"No learning rate is given, so rate, forget weight and steps are searched first, from "
            f"{start.learning_rate:g} and {start.steps} steps on: {FEWEST_TRIALS} to {MOST_TRIALS} "
            f"trainings on facts that are not forgotten, over smaller batches than here. "
            f"The same question asked again takes none. Give a rate to use it as it is."
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
