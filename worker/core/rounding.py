"""What counts as no difference: one that rounding alone can make.

The same number computed in another batch, by another kernel or on another processor differs by a
few steps of its dtype at the size of the values that it is summed from, however small it is itself:
a logit difference of 1e-6 between logits near 20 is none. Whatever divides by a difference asks
here whether there is one.

Steps were measured on prompts asked alone and in a padded batch (SmolLM2-135M-Instruct, 30 layers,
and the bundled model; differences of two logits over eps times the largest |logit|; AMD EPYC): at
most 9.4 in float32, where every term of a sum is rounded, 2.2 in float16 and 1.7 in bfloat16, whose
sums are kept in float32.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

STEPS = 16
HALF_STEPS = 3
"""Steps of the dtype that rounding can add up to; of 16 bits, HALF_STEPS."""

Values = TypeVar("Values", float, Tensor)


def rounding_at(size: Values, dtype: torch.dtype) -> Values:
    """Bound what rounding can make of sums of `size` that are computed in `dtype`."""
    finfo = torch.finfo(dtype)
    return size * ((HALF_STEPS if finfo.bits < 32 else STEPS) * finfo.eps)
