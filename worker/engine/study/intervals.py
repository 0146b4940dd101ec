"""Means over a study's seeds with their bootstrap intervals, and how they are written."""

import numpy as np
from numpy.typing import NDArray

from worker.contract import bootstrap
from worker.contract.result import Estimate

Values = NDArray[np.float64]
RESAMPLES = 2000


def interval(values: Values, seed: int = 0) -> tuple[float, float, float]:
    """Mean of the finite values with its 95 % percentile bootstrap interval.

    NaN for none; one value has a mean, and nothing says how far another seed's would lie from it.
    """
    finite = values[np.isfinite(values)]
    if finite.size < 2:
        return float(finite[0]) if finite.size else float("nan"), float("nan"), float("nan")
    return bootstrap.interval([finite], bootstrap.mean, seed=seed, samples=RESAMPLES)


def estimate(values: Values) -> Estimate | None:
    """The same as an Estimate; None where nothing was measured.

    `n` counts the seeds; of one the bounds are the mean, and mean nothing.
    """
    mean, low, high = interval(values)
    n = int(np.isfinite(values).sum())
    if n == 1:
        low = high = mean
    return Estimate(mean=mean, low=low, high=high, n=n) if n else None


def words(estimate: tuple[float, float, float]) -> str:
    """A mean and its interval to three figures; a dash when nothing was measured."""
    mean, low, high = estimate
    if not np.isfinite(mean):
        return "–"
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]" if np.isfinite(low) else f"{mean:.3g}"


def finite(value: float) -> float | None:
    """The number, or None for NaN and infinities, which JSON does not know."""
    return float(value) if np.isfinite(value) else None
