"""Means with bootstrap intervals, and shapes of per-fact results."""

import numpy as np
from jaxtyping import Float

from worker.contract.result import Comparison, Direction, Estimate

RESAMPLES = 1000


def estimate(
    values: Float[np.ndarray, " n"], *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate | None:
    """Average over facts, with the 95 % percentile bootstrap interval; NaN values take no part.

    None where there is no value. With one value the interval is that value.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    drawn = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    mean = float(values.mean())
    return Estimate(
        mean=mean, low=min(float(low), mean), high=max(float(high), mean), n=len(values)
    )


def compare(
    name: str,
    title: str,
    better: Direction,
    before: Float[np.ndarray, " n"] | None,
    after: Float[np.ndarray, " n"] | None,
    *,
    seed: int = 0,
) -> Comparison:
    """Compare per-fact values before and after the edits."""
    return Comparison(
        name=name,
        title=title,
        better=better,
        before=None if before is None else estimate(before, seed=seed),
        after=None if after is None else estimate(after, seed=seed),
    )


def summarize(comparisons: list[Comparison]) -> dict[str, float]:
    """Name every mean `<comparison>.before` and `<comparison>.after`, as summaries do."""
    return {
        f"{c.name}.{state}": value.mean
        for c in comparisons
        for state, value in (("before", c.before), ("after", c.after))
        if value is not None
    }


def harmonic_mean(values: list[float]) -> float:
    """Return the harmonic mean of values in [0, 1]; 0 where one of them is 0."""
    return 0.0 if min(values) <= 0 else len(values) / sum(1 / v for v in values)
