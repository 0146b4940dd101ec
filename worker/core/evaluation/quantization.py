"""Rounds the weights to few bits and asks again: a fact that rounding brings back was only hidden.

1. Quantize every matrix of every block: to 8 or 4 bits, round to nearest, one scale per output
   channel; or to nf4, the 16 quantiles of a normal distribution, one scale per 64 weights.
2. Compute in the model's own dtype with the rounded weights; ask forget and retain facts.
3. Put the weights back bit for bit.

Source: Zhang et al. 2024 (arXiv 2410.16454); nf4 of Dettmers et al. 2023 (2305.14314), by the
library `bitsandbytes` on a GPU that has it. Elsewhere the library is not available: nf4 is then
rounded here by the same rule, and the result says so. Limits: activations are not rounded.
"""

from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.result import Evaluation
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.per_fact import Rows, per_fact
from worker.core.asking.probe import sample_retain
from worker.core.asking.rows import compare_columns, statement_probabilities
from worker.core.asking.statistics import summarize
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.models.quantize import Kind, quantized, without_library

TITLE = "Quantization"
PAPER = "Zhang et al. 2024, Catastrophic Failure of LLM Unlearning via Quantization, 2410.16454"


class Options(BaseOptions):
    """Options of quantization."""

    kinds: tuple[Kind, ...] = Field(
        ("8", "4", "nf4"), min_length=1, description="Bits to round to, or nf4."
    )
    retain_facts: int = Field(32, ge=1, le=100_000, description="Retain facts asked, at most.")


def memory_beside(model: Model, options: Options, n_facts: int) -> int:
    """Bytes of the blocks' matrices as they were, while they are rounded."""
    return model.dtype.itemsize * sum(p.numel() for p in model.blocks.parameters())


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

    told = models.measure(measure, of=(selection.forget, retain, options.kinds))
    aggregates = []
    for kind in ("full", *options.kinds):
        words = _words(kind)
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
    reason = without_library(models.base.device) if "nf4" in options.kinds else ""
    caption = "Forget and retain facts in their own prompt, with weights rounded to few bits."
    caption = f"{caption} {reason}".strip()
    rows = [
        Rows(facts, group, _words(kind), _values(told, kind, group))
        for kind in ("full", *options.kinds)
        for group, facts in (("forget", selection.forget), ("retain", retain))
        if facts
    ]
    return Findings(
        summary=dict(summarize(aggregates)),
        caption=caption,
        evaluation=Evaluation(
            name="quantization",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=per_fact("Every fact with rounded weights", rows),
        ),
    )


def _words(kind: str) -> str:
    return {"full": "full precision", "nf4": "nf4"}.get(kind, f"{kind} bits")


def _values(told, kind: str, group: str):  # type: ignore[no-untyped-def]
    values = {"target probability": "target_probability"}
    if group == "forget":
        values["edit probability"] = "edit_probability"
    return {
        words: {state: found[kind][f"{group}.{quantity}"] for state, found in told.items()}
        for words, quantity in values.items()
    }


def _ask(model: Model, forget, retain):  # type: ignore[no-untyped-def]
    target, edit = statement_probabilities(model, forget)
    kept, _ = statement_probabilities(model, retain)
    return {
        "forget.target_probability": target,
        "forget.edit_probability": edit,
        "retain.target_probability": kept,
    }
