"""How far predictions are from the base's, with no more of the vocabulary held than is needed.

Of every position a number per token of the vocabulary is most of a training step's memory under a
large one. Loss and gradient, softmax(now) − softmax(base), are taken in one pass over a few
positions at a time, so that of whole size only both logits and the gradient are there.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

AT_ONCE = 2**22
"""Bytes of logits in float32 that are looked at together."""


class Divergence(torch.autograd.Function):
    """Average KL(base ‖ now) over the used places; only `now` gets a gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        now: Float[Tensor, "place vocab"],
        base: Float[Tensor, "place vocab"],
        used: Bool[Tensor, " place"],
    ) -> Float[Tensor, ""]:
        """Sum it up in float32, and keep the gradient where one is wanted."""
        shares = used / used.sum().clamp(min=1)
        gradient = torch.empty_like(now) if ctx.needs_input_grad[0] else None
        found = torch.zeros((), device=now.device)
        rows = max(1, AT_ONCE // (4 * now.shape[-1]))
        for start in range(0, len(now), rows):
            places = slice(start, start + rows)
            before, after = (one[places].float().log_softmax(-1) for one in (base, now))
            expected, share = before.exp(), shares[places]
            found += ((expected * (before - after)).sum(-1) * share).sum()
            if gradient is not None:
                gradient[places] = after.exp_().sub_(expected).mul_(share[:, None])
        ctx.gradient = gradient
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        """Pass the kept gradient on."""
        return ctx.gradient * above[0], None, None
