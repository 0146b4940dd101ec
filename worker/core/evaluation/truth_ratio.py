"""Asks whether true answers are likelier than wrong ones: the truth ratio, and a choice of answers.

Every answer's score is the geometric mean of its tokens' probabilities, teacher-forced after the
fact's own prompt. Wrong answers are the fact's `options`: a benchmark's perturbed answers, or the
other options of multiple choice.

1. Truth ratio: the mean score of the wrong answers over that of the true one in another wording
   (its first alias; its own where it has none). Below 1 the truth is the likelier.
2. Share: the probability of the whole target among that of all answers; 1 over their number is
   chance. Chosen: share of facts whose target has the best score of all.
3. Moved: the p-value of a two-sided Kolmogorov-Smirnov test between the forget facts' truth ratios
   before and after. Near 0, the edit moved them; it does not say where to.

Forget facts, and retain facts beside them, because general damage moves them all. Source: Maini et
al. 2024, TOFU (arXiv 2401.06121). Departures: TOFU's forget quality compares with a model that
never saw the facts, which nobody has here: the base stands in its place, and the test is named for
what it tells. Limits: a wrong answer that is worded unlike the true one is unlikely whatever the
model knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import Comparison, Direction, Evaluation, LeftOut
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.per_fact import Rows, per_fact
from worker.core.asking.probe import sample_retain
from worker.core.asking.rows import compare_columns
from worker.core.asking.statistics import summarize
from worker.core.asking.wordings import Worded, hear
from worker.core.findings import Findings, Job, Summary
from worker.core.models.model import Model

TITLE = "Truth ratio"
PAPER = "Maini et al. 2024, TOFU, arXiv 2401.06121"
CHECKS_FIRST = True
MADE: dict[str, tuple[str, Direction]] = {
    "ratio": ("wrong answers over the true one", "higher"),
    "share": ("target among all answers", "lower"),
    "chosen": ("target is the likeliest answer", "lower"),
}
"""Quantity -> its words, and which way a forget fact is wanted to go."""
Values = dict[str, Float[np.ndarray, " fact"]]


class Options(BaseOptions):
    """Options of truth ratio."""

    retain_facts: int = Field(64, ge=0, le=100_000, description="Retain facts asked, at most.")
    wrong_answers: int = Field(8, ge=1, le=100, description="Wrong answers of a fact, at most.")
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


@dataclass(frozen=True)
class Group:
    """Facts that are wanted to go one way."""

    name: str
    facts: tuple[Fact, ...]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Score true and wrong answers of forget and retain facts, before and after."""
    retain = sample_retain(selection, options.retain_facts, job.seed)
    groups = [
        Group(name, tuple(fact for fact in facts if fact.options))
        for name, facts in (("forget", selection.forget), ("retain", retain))
    ]
    if not groups[0].facts:
        raise UserError(
            "No forget fact has wrong answers to compare its answer with. Give the facts "
            "`options`, or bring a benchmark with perturbed answers or multiple choice.",
            field="facts.forget",
        )

    def measure(model: Model, state: State) -> dict[str, Values]:
        job.report.progress(0.5 * (state == "after"), f"Scoring answers {state}")
        return {g.name: _score(model, g.facts, options) for g in groups if g.facts}

    found = models.measure(measure, of=(groups, options))
    aggregates = [one for group in groups if group.facts for one in _of(group, found, job.seed)]
    summary = dict(summarize(aggregates))
    if "after" in found:
        before, after = (found[state]["forget"]["ratio"] for state in ("before", "after"))
        summary["truth_ratio.forget.moved"] = moved(before, after)
    caption = _caption(aggregates, summary)
    rows = [_rows(group, found) for group in groups if group.facts]
    return Findings(
        summary=dict(summary),
        caption=caption,
        left_out=[
            LeftOut(id=fact.id, reason="it has no wrong answers")
            for fact in selection.forget
            if not fact.options
        ],
        evaluation=Evaluation(
            name="truth_ratio",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=per_fact("Facts, the least forgotten first", rows),
        ),
    )


def _score(model: Model, facts: Sequence[Fact], options: Options) -> Values:
    asked: list[Worded] = []
    ends = []
    for fact in facts:
        true = (fact.target, (*fact.aliases, fact.target)[0])
        answers = (*true, *fact.options[: options.wrong_answers])
        asked += [Worded(fact.filled, (answer,), fact.join) for answer in answers]
        ends.append(len(asked))
    heard = hear(model, asked, options.batch_size)
    scores = np.split(heard.per_token, ends[:-1])
    whole = np.split(heard.probability, ends[:-1])
    chosen = [each[0] >= each[2:].max() for each in scores]
    return {
        "ratio": np.array([each[2:].mean() / max(each[1], _LEAST) for each in scores]),
        "share": np.array([p[0] / max(p[0] + p[2:].sum(), _LEAST) for p in whole]),
        "chosen": np.array(chosen, dtype=np.float64),
    }


_LEAST = 1e-30
"""Below this a score is taken for this, so that a model which gives an answer nothing divides."""


def moved(before: Float[np.ndarray, " n"], after: Float[np.ndarray, " n"]) -> float:
    """The p-value that both are draws of one distribution, by Kolmogorov and Smirnov."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(before, after).pvalue)


def _of(group: Group, found: dict[State, dict[str, Values]], seed: int) -> list[Comparison]:
    other: dict[Direction, Direction] = {"higher": "lower", "lower": "higher"}
    return [
        compare_columns(
            f"truth_ratio.{group.name}.{name}",
            f"{group.name.capitalize()} facts: {words}",
            better if group.name == "forget" else other[better],
            {state: values[group.name][name] for state, values in found.items()},
            seed,
        )
        for name, (words, better) in MADE.items()
    ]


def _rows(group: Group, found: dict[State, dict[str, Values]]) -> Rows:
    values = {
        words: {state: each[group.name][name].tolist() for state, each in found.items()}
        for name, (words, _) in reversed(MADE.items())
    }
    return Rows(group.facts, group.name, "statement", values)


def _caption(aggregates: Sequence[Comparison], summary: Summary) -> str:
    said = []
    for one in aggregates:
        if one.name.endswith("chosen") and one.before:
            after = f", then {one.after.mean:.2f}" if one.after else ""
            said.append(f"{one.title} in {one.before.mean:.2f} of them{after}")
    p = summary.get("truth_ratio.forget.moved")
    told = "" if p is None else f" The forget facts' ratios moved with p = {p:.2g}."
    return f"{'; '.join(said)}.{told}"
