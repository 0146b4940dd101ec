"""Where a probe's accuracy rises: the rule by which lookup layers are chosen, and how sure it is.

1. A ramp is fitted to the accuracies over depth by least squares: flat, then a straight rise, then
   a plateau. It starts where lookup starts and its height is the rise. A single layer's noise moves
   it little, which cannot be said of "the first layer above 95 %".
2. The rise ends where the ramp does, or later, with the first layer whose accuracy is below the
   plateau by no more than a twentieth of the rise or one standard error over facts: a curve that
   bends has not arrived where its straight part ends.
3. There is a rise at all if shuffled answers rarely rise as high (a permutation test), since the
   best of many ramps through noise is not flat.
4. A long rise is narrowed to the run of as many layers as are allowed over which the accuracy gains
   most, the earliest of equals: an edit of most of the model is not localized.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from worker.contract.bootstrap import draws

SHARE = 0.05
"""Of the rise: what may still lack at its end."""


@dataclass(frozen=True)
class Rise:
    """The layers of a rise, both included, and the accuracies before and after it."""

    start: int
    end: int
    before: float
    plateau: float

    @property
    def height(self) -> float:
        return self.plateau - self.before


@dataclass(frozen=True)
class Interval:
    """The middle 95 % over draws."""

    low: float
    high: float


@lru_cache(maxsize=8)
def _ramps(depth: int) -> tuple[Int[np.ndarray, "ramp 2"], Float[np.ndarray, "ramp 2 depth"]]:
    """List every ramp's two corners, and what gives its two levels from a curve."""
    corners = np.array([(a, b) for a in range(depth - 1) for b in range(a + 1, depth)])
    done = (np.arange(depth) - corners[:, :1]) / (corners[:, 1:] - corners[:, :1])
    done = np.clip(done, 0, 1)
    return corners, np.linalg.pinv(np.stack([1 - done, done], axis=2))


def fit_ramps(
    curves: Float[np.ndarray, "curve depth"],
) -> tuple[Int[np.ndarray, "curve 2"], Float[np.ndarray, "curve 2"]]:
    """Fit each curve's ramp; return its corners and its levels before and after."""
    corners, solve = _ramps(curves.shape[1])
    levels = np.einsum("rld,cd->crl", solve, curves)
    done = (np.arange(curves.shape[1]) - corners[:, :1]) / (corners[:, 1:] - corners[:, :1])
    done = np.clip(done, 0, 1)
    # |curve − fit|² = |curve|² − fit · curve, because the fit is a projection.
    low, high = np.einsum("rd,cd->cr", 1 - done, curves), np.einsum("rd,cd->cr", done, curves)
    best = (levels[:, :, 0] * low + levels[:, :, 1] * high).argmax(1)
    every = np.arange(len(curves))
    return corners[best], levels[every, best]


def find_rise(right: Float[np.ndarray, "depth fact"]) -> Rise:
    """Find the ramp's layers; entry 0 is before the first layer, entry i + 1 after layer i."""
    curve = right.mean(1)
    corners, levels = fit_ramps(curve[None])
    (first, last), (before, plateau) = corners[0].tolist(), levels[0].tolist()
    after = right[last:].mean(0)
    errors = (after - right).std(1) / np.sqrt(right.shape[1])
    arrived = plateau - curve <= np.maximum(SHARE * (plateau - before), errors)
    end = last + int(np.argmax(arrived[last:])) if arrived[last:].any() else last
    return Rise(first, end - 1, before, plateau)


def choose_layers(curve: Float[np.ndarray, " depth"], rise: Rise, most: int) -> tuple[int, ...]:
    """Take the rise's layers; of more than `most`, those where the accuracy gains most."""
    first, last = rise.start, rise.end
    if last - first + 1 > most:
        gains = [curve[start + most] - curve[start] for start in range(first, last - most + 2)]
        first += int(np.argmax(np.round(gains, 9)))  # sums in another order are no gain
        last = first + most - 1
    return tuple(range(first, last + 1))


def heights(right: Float[np.ndarray, "labelling depth fact"]) -> Float[np.ndarray, " labelling"]:
    """Give each labelling's rise, as high as its ramp."""
    levels = fit_ramps(right.mean(2))[1]
    rises: np.ndarray = levels[:, 1] - levels[:, 0]
    return rises


def tail(value: float, null: Float[np.ndarray, " draw"]) -> float:
    """Give the share of draws from chance that reach the value, which counts as one of them."""
    return float((1 + (null >= value).sum()) / (1 + len(null)))


def intervals(
    right: Float[np.ndarray, "depth fact"], samples: int, seed: int
) -> dict[str, Interval]:
    """Draw the facts anew (bootstrap); give the spread of start, end and both levels."""
    found = [find_rise(right[:, drawn]) for drawn in draws(right.shape[1], samples, seed)]
    return {
        name: Interval(*np.quantile([getattr(one, name) for one in found], (0.025, 0.975)).tolist())
        for name in ("start", "end", "before", "plateau")
    }
