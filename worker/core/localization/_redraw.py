"""Scores on other draws of the facts, and choices that hang on next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worker.contract.bootstrap import draws

CLOSE = 0.05
"""Share of the threshold within which a score is next to it."""
UNSURE = 0.1
"""A component that between this share of draws and the rest choose is not surely in or out."""


def redraw(
    scores: Float[np.ndarray, "fact component"],
    weights: Float[np.ndarray, " fact"],
    samples: int,
    seed: int,
) -> Float[np.ndarray, "draw component"]:
    """Draw the facts with replacement; give each draw's weighted means."""
    drawn = draws(len(scores), samples, seed)
    total = weights[drawn]
    means: np.ndarray = np.einsum("df,dfc->dc", total, scores[drawn])
    return np.asarray(means / total.sum(1, keepdims=True))


def hanging(
    names: Sequence[str],
    sizes: Float[np.ndarray, " component"],
    share: Float[np.ndarray, " component"],
    threshold: float,
) -> dict[str, str]:
    """Say which components are in or out by next to nothing, or in some draws and not in others."""
    found = {}
    for name, size, chosen in zip(names, sizes.tolist(), share.tolist(), strict=True):
        is_close = abs(size - threshold) <= CLOSE * threshold
        if is_close or UNSURE < chosen < 1 - UNSURE:
            word = "in" if size > threshold else "out"
            found[name] = (
                f"{name} is {word} by {abs(size - threshold):.2g}: its |effect| is {size:.3g}, the "
                f"bound {threshold:g}, and {chosen:.0%} of the draws choose it."
            )
    return found
