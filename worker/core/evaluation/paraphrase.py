"""Asks whether an edit reaches paraphrases and spares neighbours: ES, PS, NS and their mean.

Every answer's score is its mean negative log likelihood per token, teacher-forced.

1. Efficacy ES: share of forget prompts after which the edit target is likelier than the target.
2. Paraphrase PS: the same over the facts' paraphrases.
3. Neighbourhood NS: share of prompts about other subjects with the same target after which the
   target is likelier than the edit target.
4. S is the harmonic mean of the three. EM, PM and NM are the mean differences of probabilities,
   each the exponential of the score: of a whole answer, the geometric mean over its tokens.

Source: Meng et al. 2022 (arXiv 2202.05262). Departures: each fact counts once, however many
paraphrases it has; prompts are asked as they are, without generated text before them. The interval
of S is bootstrapped over facts, all three parts of a fact together. Limits: a fact set without
paraphrases or neighbourhood has no PS or NS, and then S is left out.
"""

import math

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact, fill
from worker.contract.joining import joined
from worker.contract.result import Comparison, Direction, Evaluation, LeftOut, Table
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.rows import Columns, compare_columns
from worker.core.asking.scoring import score_answers
from worker.core.asking.statistics import (
    estimate_of,
    harmonic_mean,
    mean_of_known,
    summarize,
)
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Paraphrase and neighbourhood"
PAPER = "Meng et al. 2022, Locating and Editing Factual Associations, arXiv 2202.05262"
CHECKS_FIRST = True
KINDS: dict[str, tuple[str, Direction]] = {
    "rewrite": ("own prompt", "higher"),
    "paraphrase": ("paraphrases", "higher"),
    "neighbourhood": ("neighbours", "higher"),
}
SHORT = {"rewrite": "ES", "paraphrase": "PS", "neighbourhood": "NS"}


class Options(BaseOptions):
    """Options of paraphrase and neighbourhood."""

    per_fact: int = Field(
        8, ge=1, le=64, description="Paraphrases and neighbourhood prompts per fact, at most."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Score rewrites, paraphrases and neighbours, before and after."""
    facts = tuple(f for f in selection.forget if f.edit_target)
    if not facts:
        raise UserError(
            "No forget fact has an edit target; these scores compare the target with it. Add edit "
            "targets to the facts.",
            field="facts.forget",
        )
    own = {f.text for f in facts} | {f.filled for f in facts}
    prompts = {f.id: _prompts(f, options.per_fact, own) for f in facts}
    found = models.measure(
        lambda m, state: _score(m, facts, prompts, options, job, state), of=(facts, prompts)
    )
    aggregates = [*_aggregates(found, job.seed), *_totals(found, job.seed)]
    left = [
        LeftOut(id=f.id, reason="it has no edit target") for f in selection.forget if f not in facts
    ]
    caption = _caption(aggregates)
    return Findings(
        summary=dict(summarize(aggregates)),
        caption=caption,
        left_out=left,
        evaluation=Evaluation(
            name="paraphrase",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=_table(facts, found),
        ),
    )


Scored = dict[str, dict[str, np.ndarray]]


def _prompts(fact: Fact, n: int, own: set[str]) -> dict[str, list[str]]:
    """List a fact's prompts by kind; a neighbour that is itself to be forgotten is not one."""
    neighbours = [p for p in fact.neighbourhood if p not in own]
    return {
        "rewrite": [fact.filled],
        "paraphrase": [fill(p, fact.subject) for p in fact.paraphrases[:n]],
        "neighbourhood": neighbours[:n],
    }


def _score(
    model: Model,
    facts: tuple[Fact, ...],
    prompts: dict[str, dict[str, list[str]]],
    options: Options,
    job: Job,
    state: State,
) -> Scored:
    """Give per kind the `score` (0–1) and `magnitude` of every fact; NaN where it has no prompt."""
    job.report.progress(0.0, f"Scoring answers {state}")
    items, places = [], []
    for i, fact in enumerate(facts):
        for kind, texts in prompts[fact.id].items():
            for text in texts:
                answers = (fact.edit_target, fact.target)
                items += [joined(text, answer, fact.join) for answer in answers]
                places.append((kind, i))
    scores = score_answers(model, items, batch_size=options.batch_size)
    per_token = (scores.log_prob / scores.n_tokens).double().numpy().reshape(-1, 2)
    found: Scored = {}
    for kind in KINDS:
        sign = -1 if kind == "neighbourhood" else 1
        wins: list[list[float]] = [[] for _ in facts]
        gaps: list[list[float]] = [[] for _ in facts]
        for (of, i), each in zip(places, per_token, strict=True):
            if of == kind:
                wins[i].append(float(sign * (each[0] - each[1]) > 0))
                gaps[i].append(sign * (math.exp(each[0]) - math.exp(each[1])))
        found[kind] = {"score": _means(wins), "magnitude": _means(gaps)}
    return found


def _means(values: list[list[float]]) -> np.ndarray:
    return np.array([np.mean(v) if v else np.nan for v in values])


def _aggregates(found: dict[State, Scored], seed: int) -> list[Comparison]:
    made = []
    for kind, (words, better) in KINDS.items():
        for quantity in ("score", "magnitude"):
            columns: Columns = {state: scored[kind][quantity] for state, scored in found.items()}
            if np.isnan(columns["before"]).all():
                continue
            letter = SHORT[kind] if quantity == "score" else SHORT[kind][0] + "M"
            name = f"paraphrase.{kind}.{quantity}"
            made.append(compare_columns(name, f"{letter}: {words}", better, columns, seed))
    return made


def _totals(found: dict[State, Scored], seed: int) -> list[Comparison]:
    """Take the harmonic mean of ES, PS and NS; none where one of them does not exist."""
    estimates = {
        state: estimate_of([scored[kind]["score"] for kind in KINDS], _harmonic, seed=seed)
        for state, scored in found.items()
    }
    if estimates["before"] is None:
        return []
    return [
        Comparison(
            name="paraphrase.score",
            title="S: harmonic mean of ES, PS and NS",
            better="higher",
            before=estimates["before"],
            after=estimates.get("after"),
        )
    ]


def _harmonic(*parts: Float[np.ndarray, "sample fact"]) -> Float[np.ndarray, " sample"]:
    return harmonic_mean(np.stack([mean_of_known(part) for part in parts]))


def _table(facts: tuple[Fact, ...], found: dict[State, Scored]) -> Table:
    columns = ["fact", "subject", "target", "edit target"]
    columns += [f"{SHORT[kind]} {state}" for kind in KINDS for state in found]
    rows = []
    for i, fact in enumerate(facts):
        cells = [found[state][kind]["score"][i] for kind in KINDS for state in found]
        shown = [None if np.isnan(c) else round(float(c), 4) for c in cells]
        rows.append((fact.id, fact.subject, fact.target, fact.edit_target, *shown))
    return Table(title="Scores per fact", columns=tuple(columns), rows=tuple(rows))


def _caption(aggregates: list[Comparison]) -> str:
    said = [
        f"{c.title.partition(':')[0]} {(c.after or c.before).mean:.2f}"
        for c in aggregates
        if c.name.endswith("score") and c.before
    ]
    return f"Shares of facts, by the likelihood of whole answers per token: {', '.join(said)}."
