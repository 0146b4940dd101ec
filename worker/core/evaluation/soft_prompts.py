"""Searches for a few vectors before the prompt that make the model say what it was made to forget.

1. Cut the forget facts in two. Put `n_vectors` free vectors before the embedded prompts of one half
   and train them alone to bring out the true answers, from several starts, until nothing is left
   to bring out or the steps are over.
2. Ask for the other half with the best start's vectors (by the trained half's loss), and for retain
   facts, in the same way.
3. Hold each vector to a norm not far above that of real embeddings.
4. Attack the base in the same way, so that what vectors do to facts that were never edited stands
   beside.

Source: soft-prompt attacks of Schwinn et al. 2024 (arXiv 2402.09063), with Guo et al. 2024's split
and restarts (2410.12949), whose adapter by cross-attention is here a plain prepended prompt.
Limits: vectors that bring out one answer for every subject are not knowledge: the share of the
trained half's commonest answer among the targets stands beside.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from worker.contract.facts import Fact
from worker.contract.result import Axis, Comparison, Direction, Evaluation
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.per_fact import Rows, per_fact
from worker.core.asking.probe import sample_retain
from worker.core.asking.rows import compare_columns, halves
from worker.core.asking.statistics import summarize
from worker.core.evaluation._soft import ROWS, Attacked, Groups, SoftOptions, attack
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.training.attack_memory import prompts_bytes

TITLE = "Soft prompts"
PAPER = "Schwinn et al. 2024, Soft Prompt Threats, arXiv 2402.09063"
GROUPS: dict[str, tuple[str, Direction]] = {
    "held_out": ("forget facts not trained on", "lower"),
    "trained": ("forget facts trained on", "none"),
    "retain": ("retain facts", "none"),
}


class Options(SoftOptions):
    """Options of soft prompts."""

    retain_facts: int = Field(32, ge=1, le=100_000, description="Retain facts asked, at most.")
    attack_base: bool = Field(
        True, description="Also attack the base in the same way, to compare with; once per study."
    )


def memory_beside(model: Model, options: Options, n_facts: int) -> int:
    """Bytes of the largest batch of facts times starts."""
    taught = max(1, n_facts // 2)
    starts = min(options.restarts, max(1, ROWS // taught))
    return prompts_bytes(model, taught * starts, options.n_vectors)


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Attack the base and the edited model, and ask with the best vectors of each."""
    taught, held_out = halves(selection.forget, job.seed, "facts.forget")
    retain = sample_retain(selection, options.retain_facts, job.seed)
    groups: Groups = {"held_out": held_out, "trained": taught, "retain": retain}
    states = models.names if options.attack_base else models.names[-1:]

    def measure(model: Model, state: State) -> Attacked | None:
        if state not in states:
            return None
        share = (states.index(state) / len(states), (states.index(state) + 1) / len(states))
        return attack(model, taught, groups, options, job, share)

    measured = models.measure(measure, of=(groups, options, job.seed))
    found = {state: one for state, one in measured.items() if one is not None}
    aggregates = [one for group in GROUPS for one in _aggregates(group, found, job.seed)]
    last = list(found.values())[-1]
    common = _commonest(taught, held_out)
    caption = _say(last, options.restarts, common)
    axes = (Axis(name="restart"), Axis(name="step"))
    return Findings(
        arrays={"soft_prompts.losses": Array(last.losses, axes, "nats", "Loss of each start")},
        summary=dict(summarize(aggregates)) | {"soft_prompts.held_out.commonest_answer": common},
        caption=caption,
        evaluation=Evaluation(
            name="soft_prompts",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=per_fact(
                "Every fact with the best vectors",
                [_rows(group, facts, found) for group, facts in groups.items() if facts],
            ),
        ),
    )


def _aggregates(group: str, found: dict[State, Attacked], seed: int) -> list[Comparison]:
    words, better = GROUPS[group]
    return [
        compare_columns(
            f"soft_prompts.{group}.{quantity}",
            f"Target on {words}, {how} the vectors",
            better,
            {state: getattr(one, field)[group] for state, one in found.items()},
            seed,
        )
        for quantity, field, how in (
            ("target_probability", "attacked", "with"),
            ("start_probability", "plain", "without"),
        )
    ]


def _rows(group: str, facts: Sequence[Fact], found: dict[State, Attacked]) -> Rows:
    return Rows(
        facts=facts,
        group="retain" if group == "retain" else "forget",
        format="soft prompt",
        note=GROUPS[group][0],
        values={
            words: {state: getattr(one, field)[group] for state, one in found.items()}
            for words, field in (
                ("target probability", "attacked"),
                ("target probability without vectors", "plain"),
            )
        },
    )


def _commonest(taught: Sequence[Fact], held_out: Sequence[Fact]) -> float:
    """How often the trained half's commonest answer is right on the other half."""
    common = Counter(f.target for f in taught).most_common(1)[0][0]
    return float(np.mean([f.target == common for f in held_out]))


def _say(one: Attacked, restarts: int, common: float) -> str:
    return (
        f"The best of {restarts} starts brings the facts not trained on from "
        f"{one.plain['held_out'].mean():.2f} to {one.attacked['held_out'].mean():.2f}, and those "
        f"trained on to {one.attacked['trained'].mean():.2f}; always giving the commonest answer "
        f"would bring {common:.2f}."
    )
