"""Rounds the weights to few bits and asks again: a fact that rounding brings back was only hidden.

1. Quantize every matrix of every block: to 8 or 4 bits, round to nearest, one scale per output
   channel; or to nf4, the 16 quantiles of a normal distribution, one scale per 64 weights.
2. Compute in the model's own dtype with the rounded weights; ask forget and retain facts.
3. Put the weights back bit for bit.

Source: Zhang et al. 2024 (arXiv 2410.16454); nf4 of Dettmers et al. 2023 (2305.14314), computed
here without its library, so that it runs on a CPU. Limits: activations are not rounded.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.base import Options as BaseOptions
from worker.contract.facts import Selection
from worker.contract.result import Evaluation
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._probe import sample_retain
from worker.core.evaluation._rows import compare_columns, statement_probabilities
from worker.core.evaluation._statistics import summarize
from worker.core.findings import Findings, Job
from worker.core.models.components import is_transposed
from worker.core.models.deltas import restored
from worker.core.models.model import Model

TITLE = "Quantization"
PAPER = "Zhang et al. 2024, Catastrophic Failure of LLM Unlearning via Quantization, 2410.16454"
Kind = Literal["8", "4", "nf4"]
BLOCK = 64
# Quantiles of the normal distribution, scaled to [-1, 1], with an exact 0 (Dettmers et al. 2023).
NF4 = (
    -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
)  # fmt: skip


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
            with restored(model, _matrices(model)):
                quantize(model, kind)
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


def quantize(model: Model, kind: Kind) -> None:
    """Round every matrix of every block in place."""
    parameters = dict(model.hf.named_parameters())
    with torch.no_grad():
        for name in _matrices(model):
            weight = parameters[name].detach()
            turned = is_transposed(model.hf.get_submodule(name.rpartition(".")[0]))
            rows = weight.T if turned else weight
            rounded = round_nf4(rows) if kind == "nf4" else round_to_nearest(rows, int(kind))
            weight.copy_(rounded.T if turned else rounded)


def round_to_nearest(weight: Float[Tensor, "out in"], bits: int) -> Float[Tensor, "out in"]:
    """Round to 2^bits − 1 evenly spaced values, symmetric about 0, one scale per row."""
    top = 2 ** (bits - 1) - 1
    scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / top
    return ((weight.float() / scale).round().clamp(-top, top) * scale).to(weight.dtype)


def round_nf4(weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
    """Round each block of 64 weights to the 16 nf4 values times the block's largest size."""
    flat = weight.float().flatten()
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scale = padded.abs().amax(1, keepdim=True).clamp(min=1e-12)
    codes = torch.tensor(NF4, device=weight.device)
    middles = (codes[1:] + codes[:-1]) / 2
    rounded = codes[torch.bucketize(padded / scale, middles)] * scale
    return rounded.flatten()[: len(flat)].view(weight.shape).to(weight.dtype)


def _matrices(model: Model) -> list[str]:
    prefix = f"{model.layout.blocks}."
    return [n for n, p in model.hf.named_parameters() if n.startswith(prefix) and p.ndim == 2]


def _ask(model: Model, forget, retain):  # type: ignore[no-untyped-def]
    target, edit = statement_probabilities(model, forget)
    kept, _ = statement_probabilities(model, retain)
    return {
        "forget.target_probability": target,
        "forget.edit_probability": edit,
        "retain.target_probability": kept,
    }
