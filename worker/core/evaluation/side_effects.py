"""Measures what an edit broke: the perplexity of held-out text, and facts of other relations.

1. Perplexity: the mean negative log likelihood per token of general sentences that were held out
   of the bundled model's training, and of lines the user gives; its exponential is the perplexity.
2. Other facts: every relation and group of the retain facts by itself, its target's probability.
3. The divergence KL(before ‖ after) of next-token distributions over the held-out sentences.

Source: the general-text check of Guo et al. 2024 (arXiv 2410.12949), whose text is the Pile and
whose tasks are MMLU and sciq; here the project's own sentences, so that nothing is fetched. Limits:
everyday sentences do not measure reasoning; `lm-eval` tasks are no part of this evaluation.
"""

import numpy as np
import torch
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.facts import Fact, Selection
from worker.contract.result import Evaluation
from worker.core.evaluation._general import held_out_lines, read_lines
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._rows import compare_columns, statement_probabilities
from worker.core.evaluation._statistics import summarize
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Side effects"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"


class Options(BaseOptions):
    """Options of side effects."""

    sentences: int = Field(128, ge=1, le=100_000, description="Held-out sentences, at most.")
    text: str = Field(
        "", max_length=1_000_000, description="Your own text, one passage per line, instead."
    )
    context: int = Field(100, ge=8, le=8192, description="Tokens of a sentence that are used.")
    facts_per_relation: int = Field(
        32, ge=0, le=10_000, description="Retain facts asked of each relation or group, at most."
    )


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Measure general text and other relations, before and after."""
    given = [line for line in options.text.splitlines() if line.strip()]
    lines = given[: options.sentences] or held_out_lines(options.sentences)
    groups = _groups(selection.retain, options.facts_per_relation)
    reference: list[torch.Tensor] = []

    def measure(model: Model, state: State) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        job.report.progress(0.5 * (state == "after"), f"Reading general text {state}")
        text = read_lines(model, lines, options.context, reference)
        asked = {name: statement_probabilities(model, facts)[0] for name, facts in groups.items()}
        return text, asked

    found = models.measure(measure)
    seed = job.seed
    text = {state: one[0] for state, one in found.items()}
    aggregates = [
        compare_columns(
            "side_effects.general.loss", "General text: loss per token (nats)", "lower",
            {s: t["loss"] for s, t in text.items()}, seed,
        )
    ]  # fmt: skip
    if "after" in text:
        aggregates.append(
            compare_columns(
                "side_effects.general.divergence", "General text: divergence from before (nats)",
                "lower", {s: t["divergence"] for s, t in text.items()}, seed,
            )
        )  # fmt: skip
    for name in groups:
        columns = {state: one[1][name] for state, one in found.items()}
        title = f"{name}: target's probability"
        slug = f"side_effects.{name or 'facts'}.target_probability"
        aggregates.append(compare_columns(slug, title, "higher", columns, seed))
    summary = dict(summarize(aggregates))
    perplexity = {s: float(np.exp(t["total"][0] / t["total"][1])) for s, t in text.items()}
    summary |= {f"side_effects.general.perplexity.{s}": p for s, p in perplexity.items()}
    moved = " to ".join(f"{p:.2f}" for p in perplexity.values())
    caption = f"Perplexity of {len(lines)} held-out passages: {moved}."
    return Findings(
        summary=summary,
        caption=caption,
        evaluation=Evaluation(
            name="side_effects", title=TITLE, caption=caption, aggregates=tuple(aggregates)
        ),
    )


def _groups(retain: tuple[Fact, ...], n: int) -> dict[str, list[Fact]]:
    groups: dict[str, list[Fact]] = {}
    for fact in retain:
        name = fact.group or fact.relation
        if len(groups.setdefault(name, [])) < n:
            groups[name].append(fact)
    return {name: facts for name, facts in groups.items() if facts}
