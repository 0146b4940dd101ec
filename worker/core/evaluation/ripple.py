"""Follows an edit to what hangs together with it: what follows, the way back, facts beside it.

1. Entailed: prompts about what follows from a fact (a city's country gives its continent, a
   benchmark's portability): share of prompts whose entailed answer is likelier than the one that
   follows from the edit target, and share that says the latter first.
2. Reversed: the subject's likelihood per token after a prompt that names the fact's answer, less
   that after the same prompt with the edit target ("One athlete who plays the sport of … is").
   Many subjects share an answer, so a difference is asked and not the probability of one name.
3. What must not move: prompts beside the fact that come with it (a benchmark's locality), the
   retain facts about the same subject, and those of the same relation with the same answer or the
   edit target: share that still says its own answer first.

All are teacher-forced; of several wordings of an answer the likeliest counts. Entailed, reversed
and kept prompts come with the fact set (`ripples`); where it has none of a kind the result says so,
and where a benchmark names only the answer after an edit, nothing is said of the one before. The
bundled athletes have no entailed facts: nothing that has one answer follows from a sport.

Source: Cohen et al. 2024, RippleEdits (arXiv 2307.12976), for what is asked; Berglund et al. 2023
(2309.12288) for asking backwards; Zhang et al. 2024 (2401.01286) for portability and locality.
Limits: a model that never knew what follows, or never reads a fact backwards, is near one half
before the edit, and then the number after it says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact, Ripple
from worker.contract.joining import joined
from worker.contract.result import Comparison, Direction, Evaluation, LeftOut, Table
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.rows import compare_columns
from worker.core.asking.scoring import score_answers
from worker.core.asking.statistics import summarize
from worker.core.asking.wordings import Worded, hear
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.models.prompts import pairs

TITLE = "Ripple"
PAPER = "Cohen et al. 2024, Evaluating the Ripple Effects of Knowledge Editing, arXiv 2307.12976"
CHECKS_FIRST = True
Values = dict[str, Float[np.ndarray, " fact"]]
MADE: dict[str, tuple[str, Direction]] = {
    "entailed.target_preferred": ("what follows from the target is the likelier", "lower"),
    "entailed.target_probability": ("probability of what follows from the target", "lower"),
    "entailed.edit_probability": ("probability of what follows from the edit target", "higher"),
    "entailed.edit_said": ("what follows from the edit target is said first", "higher"),
    "reversed.target_preferred": ("subject is likelier after its target", "lower"),
    "reversed.difference": ("subject's log likelihood per token, target − edit target", "lower"),
    "kept.said": ("prompts beside the facts say their answer", "higher"),
    "kept.probability": ("probability of what is beside the facts", "higher"),
    "siblings.same_subject.kept": ("facts about the same subjects say their answer", "higher"),
    "siblings.same_relation.kept": ("facts beside them say their answer", "higher"),
}


MISSING = {
    "entailed": "none of the {} forget facts has such a prompt",
    "reversed": "none of the {} forget facts has such a prompt",
    "kept": "none of the {} forget facts brings a prompt on what is beside it",
    "siblings": "no retain fact has the same subject or answer",
}
"""What there may be nothing of to ask, and how that is said."""


class Options(BaseOptions):
    """Options of ripple."""

    siblings: int = Field(64, ge=0, le=10_000, description="Sibling facts of each sort, at most.")
    per_fact: int = Field(
        8, ge=1, le=1000, description="Prompts of each kind that a fact brings, at most."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


@dataclass(frozen=True)
class Prompts:
    """What is asked, the same in every state."""

    entailed: tuple[Ripple, ...]
    backwards: tuple[Ripple, ...]
    kept: tuple[Ripple, ...]
    same_subject: tuple[Fact, ...]
    same_relation: tuple[Fact, ...]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Ask what follows, backwards and beside, before and after."""
    asked = _prompts(selection, options)
    left = _missing(asked, selection.forget)
    if len(left) == len(MISSING):
        raise UserError(
            "No forget fact has anything entailed, reversed or beside it, and no retain fact is "
            "about the same subjects or of the same relation. Give the facts `ripples`, or a fact "
            "set with more facts of each relation.",
            field="facts.forget",
        )

    def measure(model: Model, state: State) -> Values:
        job.report.progress(0.5 * (state == "after"), f"Asking what hangs together {state}")
        return _measure(model, asked, options.batch_size)

    found = models.measure(measure, of=(asked,))
    aggregates = _aggregates(found, job.seed)
    caption = _caption(aggregates, left)
    return Findings(
        summary=dict(summarize(aggregates)),
        caption=caption,
        left_out=left,
        evaluation=Evaluation(
            name="ripple",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            tables={"prompts": _table(asked, found)},
        ),
    )


def _prompts(selection: Selection, options: Options) -> Prompts:
    forget = selection.forget
    subjects = {f.subject for f in forget}
    answers = {(f.relation, a) for f in forget for a in (f.target, f.edit_target) if a}
    untrained = divide(selection.retain).tested
    same_subject = [f for f in untrained if f.subject in subjects]
    beside = [
        f for f in untrained if (f.relation, f.target) in answers and f.subject not in subjects
    ]

    def ripples(kind: str) -> tuple[Ripple, ...]:
        of_each = ([r for r in fact.ripples if r.kind == kind] for fact in forget)
        return tuple(r for found in of_each for r in found[: options.per_fact])

    return Prompts(
        entailed=ripples("entailed"),
        backwards=tuple(r for r in ripples("reversed") if r.edit_prompt),
        kept=tuple(one for fact in forget for one in fact.kept[: options.per_fact]),
        same_subject=tuple(same_subject[: options.siblings]),
        same_relation=tuple(beside[: options.siblings]),
    )


def _missing(asked: Prompts, forget: Sequence[Fact]) -> list[LeftOut]:
    there = (asked.entailed, asked.backwards, asked.kept, asked.same_subject or asked.same_relation)
    return [
        LeftOut(id=kind, reason=reason.format(len(forget)))
        for (kind, reason), found in zip(MISSING.items(), there, strict=True)
        if not found
    ]


def _measure(model: Model, asked: Prompts, batch_size: int) -> Values:
    found: Values = {}
    if asked.entailed:
        own = hear(model, [_before(one) for one in asked.entailed], batch_size)
        other = hear(model, [_after(one) for one in asked.entailed], batch_size)
        difference = own.probability - other.probability
        found["entailed.target_preferred"] = np.where(np.isnan(difference), np.nan, difference > 0)
        found["entailed.target_probability"] = own.probability
        found["entailed.edit_probability"] = other.probability
        found["entailed.edit_said"] = other.said
    if asked.kept:
        beside = hear(model, [_before(one) for one in asked.kept], batch_size)
        found["kept.said"], found["kept.probability"] = beside.said, beside.probability
    if asked.backwards:
        both = [
            joined(p, r.target, r.join) for r in asked.backwards for p in (r.prompt, r.edit_prompt)
        ]
        scores = score_answers(model, both, batch_size=batch_size)
        own, other = (scores.log_prob / scores.n_tokens).view(-1, 2).T
        found["reversed.target_preferred"] = (own > other).double().numpy()
        found["reversed.difference"] = (own - other).double().numpy()
    for name, facts in (
        ("same_subject", asked.same_subject),
        ("same_relation", asked.same_relation),
    ):
        if facts:
            ranks = score_answers(model, pairs(facts), batch_size=batch_size).rank
            found[f"siblings.{name}.kept"] = (ranks == 0).double().numpy()
    return found


def _before(one: Ripple) -> Worded:
    return Worded(one.prompt, (one.target, *one.aliases) if one.target else (), one.join)


def _after(one: Ripple) -> Worded:
    new = (one.edit_target, *one.edit_aliases) if one.edit_target else ()
    return Worded(one.prompt, new, one.join)


def _aggregates(found: dict[State, Values], seed: int) -> list[Comparison]:
    return [
        compare_columns(
            f"ripple.{name}",
            f"{name.split('.')[0].capitalize()}: {words}",
            better,
            {state: values[name] for state, values in found.items()},
            seed,
        )
        for name, (words, better) in MADE.items()
        if name in found["before"] and not np.isnan(found["before"][name]).all()
    ]


def _table(asked: Prompts, found: dict[State, Values]) -> Table:
    """List every prompt, and whether its own answer was preferred or said, those that fail first.

    Own is what follows from the target, the subject after its target, and a sibling's answer.
    """
    kinds: tuple[tuple[str, str, Sequence[Ripple | Fact]], ...] = (
        ("entailed", "entailed.target_preferred", asked.entailed),
        ("reversed", "reversed.target_preferred", asked.backwards),
        ("kept", "kept.said", asked.kept),
        ("sibling, same subject", "siblings.same_subject.kept", asked.same_subject),
        ("sibling, same relation", "siblings.same_relation.kept", asked.same_relation),
    )
    rows: list[tuple[Any, ...]] = []
    for kind, name, prompts in kinds:
        for i, one in enumerate(prompts):
            text = one.text if isinstance(one, Fact) else one.prompt
            holds = (values[name][i] for values in found.values())
            cells = (None if np.isnan(value) else int(value) for value in holds)
            rows.append((kind, text, one.target, one.edit_target, *cells))
    rows.sort(key=lambda row: (_holds(row[0], row[-1]), row[0]))
    columns = ("kind", "prompt", "own answer", "new answer", *(f"own answer {s}" for s in found))
    return Table(title="Every prompt, the worst first", columns=columns, rows=tuple(rows))


def _holds(kind: str, own: int | None) -> bool:
    """Whether a prompt is as it should be after an edit: its own answer lost, or kept."""
    return own is None or bool(own) == (kind not in ("entailed", "reversed"))


def _caption(aggregates: Sequence[Comparison], left: Sequence[LeftOut]) -> str:
    said = []
    for one in aggregates:
        if one.name.endswith(("preferred", "kept", "said")) and one.before:
            after = f" to {one.after.mean:.2f}" if one.after else ""
            start = "from " if one.after else ""
            said.append(f"{one.title} {start}{one.before.mean:.2f}{after}")
    none = f" There is nothing {' or '.join(one.id for one in left)} to ask." if left else ""
    return f"Shares of prompts: {'; '.join(said)}.{none}"
