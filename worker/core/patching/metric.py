"""What is measured of the next token: probability, logit difference or divergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.contract.units import size_of
from worker.core.patching.cases import Case
from worker.core.rounding import rounding_at

Metric = Literal["probability", "logit_diff", "kl"]
CHANGES: dict[Metric, str] = {
    "probability": "Δ probability",
    "logit_diff": "Δ logit difference",
    "kl": "−Δ divergence (nats)",
}
"""Of an effect: what is measured with a patch less what is measured without, or its estimate."""
SIZES: dict[Metric, str] = {metric: size_of(unit) for metric, unit in CHANGES.items()}
"""Of the absolute value of an effect, or of a sum or mean of such."""
DESCRIPTION = (
    "probability: of the answer's first token. logit_diff: the answer's logit minus the edit "
    "target's. kl: minus the divergence of the prediction from the clean one, in nats."
)


def measure(
    metric: Metric,
    logits: Float[Tensor, "k vocab"],
    answers: Int[Tensor, " k"],
    foils: Int[Tensor, " k"] | None = None,
    clean: Float[Tensor, "k vocab"] | None = None,
) -> Float[Tensor, " k"]:
    """Measure each row in float32; higher is nearer to the clean prompt's answer.

    `foils` are needed for logit_diff, the clean prompts' logits for kl.
    """
    logits = logits.float()
    if metric == "probability":
        return logits.softmax(-1).gather(-1, answers[:, None])[:, 0]
    if metric == "logit_diff":
        assert foils is not None
        pair = logits.gather(-1, torch.stack([answers, foils], dim=-1))
        return pair[:, 0] - pair[:, 1]
    assert clean is not None
    log_clean = clean.float().log_softmax(-1)
    return -(log_clean.exp() * (log_clean - logits.log_softmax(-1))).sum(-1)


def rounding(
    metric: Metric,
    logits: Float[Tensor, "k vocab"],
    measured: Float[Tensor, " k"],
    dtype: torch.dtype,
) -> Float[Tensor, " k"]:
    """Bound the part of each row's measure that rounding in the model's dtype can make.

    A probability p moves by p times what its logit moves; a divergence by half the square of what
    the logits move, and by the rounding of its own sum.
    """
    size = logits.float().abs().amax(-1)
    step = rounding_at(size, dtype)
    if metric == "probability":
        return measured * step
    if metric == "logit_diff":
        return step
    return step.square() / 2 + rounding_at(size, torch.float32)


def answer_tensor(cases: Sequence[Case], device: torch.device) -> Int[Tensor, " case"]:
    return torch.tensor([case.answer for case in cases], device=device)


def foil_tensor(cases: Sequence[Case], device: torch.device) -> Int[Tensor, " case"] | None:
    """The foils' tokens; None where a case has none."""
    if any(case.foil is None for case in cases):
        return None
    return torch.tensor([case.foil for case in cases], device=device)
