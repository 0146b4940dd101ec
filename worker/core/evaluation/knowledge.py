"""Says what a model knows: how likely each fact of the whole set is in its own prompt.

1. Ask every fact of the set, forget and retain alike, in its own prompt. 2. Read the probability of
the whole target, teacher-forced, the rank of its first token among all tokens (1 is the model's own
choice), and the likeliest first token. 3. Count the facts by probability.

The numbers depend on weights and facts alone, so one measurement per model and set serves every
later question, whatever is selected. Limits: one wording; see the probes for others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact, Selection
from worker.contract.result import Axis, Comparison, Evaluation, LeftOut, Table
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.scoring import score_answers
from worker.core.asking.statistics import compare, summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids, encode, tokenized

TITLE = "What the model knows"
CHUNK = 512
"""Facts between two reports of progress."""
BINS = 20


class Options(BaseOptions):
    """Options of the measurement."""

    bound: float = Field(
        0.5, gt=0, le=1, description="Probability from which a fact counts as known."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


@dataclass
class _Known:
    """One state's answers, in the facts' order."""

    probability: Float[np.ndarray, " fact"]
    rank: Int[np.ndarray, " fact"]
    says: list[str]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Ask every fact of the set, before and after the edits."""
    every = job.pool or (*selection.forget, *selection.retain)
    facts, left_out = _usable(models.base, every)
    n_states = len(models.names)

    def measure(model: Model, state: State) -> _Known:
        start = models.names.index(state) / n_states
        return _ask(model, facts, options.batch_size, job, (start, 1 / n_states), state)

    known = models.measure(measure, of=(facts,))
    forget = {fact.id for fact in selection.forget}
    aggregates = list(_aggregates(known, options.bound, job.seed))
    last = known.get("after", known["before"])
    n_known = int((last.probability >= options.bound).sum())
    caption = (
        f"The model gives {n_known} of {len(facts)} targets a probability of at least "
        f"{options.bound:g} after their prompts; {int((last.rank == 1).sum())} begin with its "
        f"likeliest token."
    )
    return Findings(
        arrays={f"knowledge.{state}": _histogram(one, state) for state, one in known.items()},
        summary=summarize(aggregates)
        | {"knowledge.facts": len(facts), "knowledge.left_out": len(left_out)},
        caption=caption,
        left_out=left_out,
        evaluation=Evaluation(
            name="knowledge",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=_table(facts, forget, known),
        ),
    )


def _usable(model: Model, facts: Sequence[Fact]) -> tuple[list[Fact], list[LeftOut]]:
    """Leave out the facts that the tokenizer cuts so that they cannot be asked."""
    usable: list[Fact] = []
    left_out: list[LeftOut] = []
    for start in range(0, len(facts), CHUNK):
        chunk = facts[start : start + CHUNK]
        texts = [text for f in chunk for text in (f.text, f.text + f.follows(f.target))]
        with tokenized(model, texts):
            for fact in chunk:
                try:
                    encode(model, fact.text + fact.follows(fact.target), None)
                    answer_ids(model, fact.text, fact.follows(fact.target))
                    usable.append(fact)
                except UserError as error:
                    left_out.append(LeftOut(id=fact.id, reason=error.message))
    if not usable:
        raise UserError(
            f"None of the {len(facts)} facts can be asked. The first: {left_out[0].reason}",
            field="facts.set",
        )
    return usable, left_out


def _ask(
    model: Model,
    facts: Sequence[Fact],
    batch_size: int,
    job: Job,
    share: tuple[float, float],
    state: str,
) -> _Known:
    order = sorted(range(len(facts)), key=lambda i: len(facts[i].text))
    known = _Known(np.zeros(len(facts)), np.zeros(len(facts), dtype=int), [""] * len(facts))
    for start in range(0, len(order), CHUNK):
        job.report.progress(
            share[0] + share[1] * start / len(order), f"Asked {start} of {len(order)} facts {state}"
        )
        chosen = order[start : start + CHUNK]
        items = [(facts[i].text, facts[i].follows(facts[i].target)) for i in chosen]
        with tokenized(model, [t for text, answer in items for t in (text, text + answer)]):
            scores = score_answers(model, items, batch_size)
        known.probability[chosen] = scores.log_prob.double().exp().numpy()
        known.rank[chosen] = scores.rank.numpy() + 1
        for i, token in zip(chosen, scores.top5[:, 0].tolist(), strict=True):
            known.says[i] = model.tokenizer.decode([token])
    return known


def _histogram(known: _Known, state: State) -> Array:
    counts, edges = np.histogram(known.probability, bins=BINS, range=(0.0, 1.0))
    labels = tuple(f"{a:g}–{b:g}" for a, b in zip(edges.round(2), edges[1:].round(2), strict=False))
    words = "before the edit" if state == "before" else "after the edit"
    return Array(
        counts,
        (Axis(name="probability", labels=labels),),
        "facts",
        f"Facts by probability, {words}",
    )


def _aggregates(known: dict[State, _Known], bound: float, seed: int) -> Iterator[Comparison]:
    columns = {
        "known": (
            "Share of facts that are known",
            lambda k: (k.probability >= bound).astype(float),
        ),
        "probability": ("Probability of the target", lambda k: k.probability),
        "first": (
            "Share whose first token is the likeliest",
            lambda k: (k.rank == 1).astype(float),
        ),
    }
    for name, (title, read) in columns.items():
        values = {state: read(one) for state, one in known.items()}
        yield compare(
            f"knowledge.{name}", title, "none", values["before"], values.get("after"), seed=seed
        )


def _table(facts: Sequence[Fact], forget: set[str], known: dict[State, _Known]) -> Table:
    """One row per fact, in the set's order."""
    measured = [
        f"{words} {state}"
        for state in known
        for words in ("target probability", "target rank", "says")
    ]
    rows = []
    for i, fact in enumerate(facts):
        cells = [
            cell
            for one in known.values()
            for cell in (round(float(one.probability[i]), 6), int(one.rank[i]), one.says[i])
        ]
        role = "forget" if fact.id in forget else "retain"
        rows.append((fact.id, fact.subject, role, "statement", fact.target, *cells))
    columns = ("fact", "subject", "set", "format", "target", *measured)
    return Table(title=TITLE, columns=columns, rows=tuple(rows))
