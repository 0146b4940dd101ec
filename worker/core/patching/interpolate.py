"""Points on the straight line between two activations."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Points = Literal["middle", "left"]


def interpolate(start: Tensor, stop: Tensor, steps: int, points: Points) -> list[Tensor]:
    """Take the middles, or the left ends, of `steps` equal intervals."""
    shift = 0.5 if points == "middle" else 0.0
    return [start + (k + shift) / steps * (stop - start) for k in range(steps)]
