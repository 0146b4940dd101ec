"""Shares of the difference between clean and corrupted metric, and where they say nothing.

A share divides by the fact's difference. Where that is tiny, noise of the size of rounding becomes
a share of many; such facts are left out by a stated rule, and means weigh each fact by the size of
its difference, so that a mean of shares is (up to signs) the mean effect over the mean difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worker.core.patching.cases import Prepared
from worker.core.patching.outcome import Traced

MIN_DIFFERENCE = 0.05
DESCRIPTION = (
    "Facts whose clean and corrupted metric differ by less than this share of the facts' median "
    "difference are left out: a share of next to nothing says nothing."
)


def leave_out_tiny(
    traced: dict[str, Traced], prepared: Prepared, metric: str, least: float
) -> None:
    """Take out facts whose difference is below `least` times the median, each with its reason."""
    sizes = {name: abs(one.clean - one.corrupted) for name, one in traced.items()}
    bound = least * float(np.median(list(sizes.values()))) if sizes else 0.0
    for name in [name for name, size in sizes.items() if size < bound]:
        one = traced.pop(name)
        prepared.leave_out(
            one.case.fact,
            f"The metric {metric} is {one.clean:.3g} on the clean prompt and {one.corrupted:.3g} "
            f"on the corrupted one; expected a difference of at least {bound:.2g} ({least:.0%} of "
            f"the facts' median), because shares of a tiny one say nothing. Choose another "
            f"corruption or metric, or lower min_difference.",
        )


def difference_weights(traced: Sequence[Traced]) -> Float[np.ndarray, " fact"]:
    """Weigh each fact by the size of its difference; the weights add up to 1."""
    sizes = np.array([abs(one.clean - one.corrupted) for one in traced])
    weights: np.ndarray = sizes / sizes.sum()
    return weights
