"""The percentile bootstrap (Efron 1979): how far a mean would move if others had been drawn."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Combine = Callable[..., Floats]
"""Takes columns as (sample, n) and makes one number per sample; NaN where it cannot."""


def draws(n: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Draw `n` places out of `n` with replacement, for each sample: (sample, n)."""
    return np.random.default_rng(seed).integers(0, n, (samples, n))


def interval(
    columns: Sequence[Floats], combine: Combine, *, seed: int, samples: int
) -> tuple[float, float, float]:
    """Make a number from columns of the same rows, with its 95 % percentile interval.

    Rows are drawn together; samples of which `combine` makes NaN take no part. The interval is
    widened to hold the number itself. Three NaN where the columns themselves give NaN.
    """
    (value,) = combine(*(column[None] for column in columns))
    if np.isnan(value):
        return (float("nan"),) * 3
    drawn = draws(len(columns[0]), samples, seed)
    made = combine(*(column[drawn] for column in columns))
    low, high = np.quantile(made[~np.isnan(made)], [0.025, 0.975])
    return float(value), min(float(low), float(value)), max(float(high), float(value))


def mean(values: Floats) -> Floats:
    """Average each sample."""
    return np.asarray(values.mean(1))
