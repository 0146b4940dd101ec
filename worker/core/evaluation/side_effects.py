"""Measures what an edit broke: the perplexity of held-out text, and facts of other relations.

1. Perplexity: the mean negative log likelihood per token of ordinary passages that no training here
   has seen (English; for the bundled model its own kind of sentences), or of lines the user gives;
   its exponential is the perplexity.
2. Other facts: every relation and group of the retain facts by itself, and of bundled relations
   that the set does not have those facts whose answers the base has ready (the bundled model's own
   relations, or generally known ones); each target's probability in its own prompt. What a
   benchmark brings beside the forget facts, and which must be kept, is the group `locality`.
3. The divergence KL(before ‖ after) of next-token distributions over the first 64 passages: it
   rises where an edit made the text less likely and where it made it likelier.

Source: the general-text check of Guo et al. 2024 (arXiv 2410.12949), whose text is the Pile; here
the project's own sentences, so that nothing is fetched. Intervals are bootstrapped over sentences
and over facts. Limits: everyday sentences do not measure reasoning; `lm-eval` tasks are an
evaluation of their own, the language tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.facts import Fact
from worker.contract.result import Comparison, Evaluation
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.ordinary_text import read_lines
from worker.core.asking.passages import held_out_passages
from worker.core.asking.per_fact import Rows, per_fact
from worker.core.asking.rows import compare_columns, statement_probabilities
from worker.core.asking.statistics import estimate_of, summarize
from worker.core.evaluation._other_facts import known, other_facts
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Side effects"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"


class Options(BaseOptions):
    """Options of side effects."""

    sentences: int = Field(128, ge=1, le=100_000, description="Held-out passages, at most.")
    text: str = Field(
        "", max_length=1_000_000, description="Your own text, one passage per line, instead."
    )
    context: int = Field(100, ge=8, le=8192, description="Tokens of a passage that are used.")
    facts_per_relation: int = Field(
        32, ge=0, le=10_000, description="Retain facts asked of each relation or group, at most."
    )
    other_relations: bool = Field(
        True,
        description="Also ask bundled facts of relations that the set does not have, as far as the "
        "base knows them.",
    )


@dataclass(frozen=True)
class Measured:
    """What one model makes of general text and of each group of facts."""

    text: dict[str, Float[np.ndarray, " line"]]
    asked: dict[str, Float[np.ndarray, " fact"]]
    reference: list[torch.Tensor]
    """Log probabilities of the first sentences."""


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Measure general text and other relations, before and after."""
    lines = held_out_passages(models.base, options.text)[: options.sentences]
    drawn = _drawn(models.base, selection, options)

    ready = models.once("before", ("known", drawn), lambda: known(models.base, drawn))
    groups = _groups(selection, options, ready or ())
    everyone = [fact for facts in groups.values() for fact in facts]
    ends = np.cumsum([len(facts) for facts in groups.values()])

    def measure(model: Model, state: State, reference: list[torch.Tensor]) -> Measured:
        job.report.progress(0.5 * (state == "after"), f"Reading general text {state}")
        text = read_lines(model, lines, options.context, reference)
        told = statement_probabilities(model, everyone)[0]
        return Measured(text, dict(zip(groups, np.split(told, ends), strict=False)), reference)

    before, after = models.measure_against(
        lambda model: measure(model, "before", []),
        lambda model, base: measure(model, "after", base.reference),
        # What is drawn says, with the weights, which of it the base has ready.
        of=("side effects", lines, _groups(selection, options, drawn), options.context),
    )
    found: dict[State, Measured] = {"before": before}
    if after is not None:
        found["after"] = after[0]
    aggregates = [*_of_text(found, job.seed), *_of_facts(found, job.seed)]
    moved = " to ".join(f"{_perplexity(one):.2f}" for one in found.values())
    caption = f"Perplexity of {len(lines)} held-out passages: {moved}."
    if drawn:
        caption += f" Of {len(drawn)} bundled facts of other relations the base has the answers of "
        caption += f"{len(ready)} ready: these are asked." if ready else "none ready."
    rows = [
        Rows(facts, "retain", "statement", _values(found, name), name)
        for name, facts in groups.items()
    ]
    return Findings(
        summary=dict(summarize(aggregates)),
        caption=caption,
        evaluation=Evaluation(
            name="side_effects",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=per_fact("Other facts, the most harmed first", rows) if rows else None,
        ),
    )


def _of_text(found: dict[State, Measured], seed: int) -> list[Comparison]:
    text = {state: one.text for state, one in found.items()}
    perplexities = {
        state: estimate_of((t["loss"], t["tokens"]), _weighted, seed=seed)
        for state, t in text.items()
    }
    made = [
        Comparison(
            name="side_effects.general.perplexity",
            title="General text: perplexity",
            better="lower",
            before=perplexities["before"],
            after=perplexities.get("after"),
        ),
        compare_columns(
            "side_effects.general.loss", "General text: loss per token (nats)", "lower",
            {s: t["loss"] for s, t in text.items()}, seed,
        ),
    ]  # fmt: skip
    if "after" in text:
        made.append(
            compare_columns(
                "side_effects.general.divergence", "General text: divergence from before (nats)",
                "lower", {s: t["divergence"] for s, t in text.items()}, seed,
            )
        )  # fmt: skip
    return made


def _weighted(
    loss: Float[np.ndarray, "sample line"], tokens: Float[np.ndarray, "sample line"]
) -> Float[np.ndarray, " sample"]:
    """The perplexity over all tokens of a sample's lines."""
    return np.asarray(np.exp((loss * tokens).sum(1) / tokens.sum(1)))


def _perplexity(one: Measured) -> float:
    return float(_weighted(one.text["loss"][None], one.text["tokens"][None])[0])


def _of_facts(found: dict[State, Measured], seed: int) -> list[Comparison]:
    return [
        compare_columns(
            f"side_effects.{name}.target_probability",
            f"{name}: target's probability",
            "higher",
            {state: one.asked[name] for state, one in found.items()},
            seed,
        )
        for name in found["before"].asked
    ]


def _values(
    found: dict[State, Measured], name: str
) -> dict[str, dict[State, Float[np.ndarray, " fact"]]]:
    return {"target probability": {state: one.asked[name] for state, one in found.items()}}


def _drawn(model: Model, selection: Selection, options: Options) -> tuple[Fact, ...]:
    """Bundled facts of relations that the set has not.

    One that the set has under another relation's name, or under none, is not asked again: nor is
    one that is to be forgotten counted as harmed.
    """
    if not options.other_relations:
        return ()
    asked = {fact.text for fact in (*selection.forget, *selection.retain)}
    others = other_facts(model, selection, options.facts_per_relation)
    return tuple(fact for fact in others if fact.text not in asked)


def _groups(
    selection: Selection, options: Options, others: Sequence[Fact]
) -> dict[str, list[Fact]]:
    """Retain facts that no edit trained on, by group or relation, then those of other relations."""
    untrained = divide(selection.retain).tested
    facts = [*untrained, *(one for fact in selection.forget for one in _beside(fact)), *others]
    groups: dict[str, list[Fact]] = {}
    for fact in facts:
        of_group = groups.setdefault(fact.group or fact.relation or "facts", [])
        if len(of_group) < options.facts_per_relation:
            of_group.append(fact)
    return {name: found for name, found in groups.items() if found}


def _beside(fact: Fact) -> list[Fact]:
    """What must be kept beside a fact, each as a fact that is its whole prompt."""
    return [
        Fact(
            id=f"{fact.id} beside {number}"[:200],
            subject=one.prompt[:2000],
            prompt="{}",
            target=one.target,
            join=one.join,
            group="locality",
        )
        for number, one in enumerate(fact.kept, 1)
    ]
