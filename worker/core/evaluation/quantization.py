"""Rounds the weights to few bits and asks again: a fact that rounding brings back was only hidden.

1. Quantize every matrix of every block: to 8 or 4 bits, round to nearest, one scale per output
   channel; or to nf4, the 16 quantiles of a normal distribution, one scale per 64 weights.
2. Compute in the model's own dtype with the rounded weights; ask forget and retain facts.
3. Put the weights back bit for bit.

Source: Zhang et al. 2024 (arXiv 2410.16454); nf4 of Dettmers et al. 2023 (2305.14314), computed
here without its library, so that it runs on a CPU. Limits: activations are not rounded.
"""

from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.facts import Selection
from worker.contract.result import Evaluation
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._probe import sample_retain
from worker.core.evaluation._quantize import Kind, quantized
from worker.core.evaluation._rows import compare_columns, statement_probabilities
from worker.core.evaluation._statistics import summarize
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Quantization"
PAPER = "Zhang et al. 2024, Catastrophic Failure of LLM Unlearning via Quantization, 2410.16454"


class Options(BaseOptions):
    """Options of quantization."""

    kinds: tuple[Kind, ...] = Field(
        ("8", "4", "nf4"), min_length=1, description="Bits to round to, or nf4."
    )
    retain_facts: int = Field(32, ge=1, le=100_000, description="Retain facts asked, at most.")


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Ask with rounded weights, before and after."""
    retain = sample_retain(selection, options.retain_facts, job.seed)

    def measure(model: Model, state: State):  # type: ignore[no-untyped-def]
        found = {"full": _ask(model, selection.forget, retain)}
        for kind in options.kinds:
            job.report.progress(0.5 * (state == "after"), f"Rounding to {kind} {state}")
            with quantized(model, kind):
                found[kind] = _ask(model, selection.forget, retain)
        return found

    told = models.measure(measure)
    aggregates = []
    for kind in ("full", *options.kinds):
        words = "full precision" if kind == "full" else f"{kind} bits" if kind != "nf4" else "nf4"
        for quantity, better in (
            ("forget.target_probability", "lower"),
            ("forget.edit_probability", "higher"),
            ("retain.target_probability", "higher"),
        ):
            columns = {state: found[kind][quantity] for state, found in told.items()}
            if all(v != v for v in columns["before"]):
                continue
            aggregates.append(
                compare_columns(
                    f"quantization.{kind}.{quantity}",
                    f"{words}: {quantity.replace('.', ' facts, ').replace('_', ' ')}",
                    better,  # type: ignore[arg-type]
                    columns,
                    job.seed,
                )
            )
    caption = "Forget and retain facts in their own prompt, with weights rounded to few bits."
    return Findings(
        summary=dict(summarize(aggregates)),
        caption=caption,
        evaluation=Evaluation(
            name="quantization", title=TITLE, caption=caption, aggregates=tuple(aggregates)
        ),
    )


def _ask(model: Model, forget, retain):  # type: ignore[no-untyped-def]
    target, edit = statement_probabilities(model, forget)
    kept, _ = statement_probabilities(model, retain)
    return {
        "forget.target_probability": target,
        "forget.edit_probability": edit,
        "retain.target_probability": kept,
    }
