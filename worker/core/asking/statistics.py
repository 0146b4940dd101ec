"""Means with bootstrap intervals, and shapes of per-fact results."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from worker.contract import bootstrap
from worker.contract.result import Comparison, Direction, Estimate
from worker.core.findings import Summary

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
    return _estimate([values], bootstrap.mean, seed, resamples)


def estimate_of(
    columns: Sequence[Float[np.ndarray, " n"]],
    combine: Callable[..., Float[np.ndarray, " sample"]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate | None:
    """Estimate a number that is made from several columns of the same facts, drawn together.

    `combine` takes the columns as (sample, n) and gives one number per sample; samples of which it
    makes NaN take no part. None where the columns themselves give NaN.
    """
    return _estimate(
        [np.asarray(column, dtype=np.float64) for column in columns], combine, seed, resamples
    )


def _estimate(
    columns: Sequence[Float[np.ndarray, " n"]],
    combine: bootstrap.Combine,
    seed: int,
    resamples: int,
) -> Estimate | None:
    mean, low, high = bootstrap.interval(columns, combine, seed=seed, samples=resamples)
    return None if np.isnan(mean) else Estimate(mean=mean, low=low, high=high, n=len(columns[0]))


def mean_of_known(values: Float[np.ndarray, "sample n"]) -> Float[np.ndarray, " sample"]:
    """Average each sample over its values that are not NaN; NaN where there are none."""
    is_known = ~np.isnan(values)
    count = is_known.sum(1)
    total = np.where(is_known, values, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


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


def summarize(comparisons: list[Comparison]) -> Summary:
    """Name every mean `<comparison>.before` and `<comparison>.after`, as summaries do."""
    return {
        f"{c.name}.{state}": value.mean
        for c in comparisons
        for state, value in (("before", c.before), ("after", c.after))
        if value is not None
    }


def harmonic_mean(values: Float[np.ndarray, "part sample"]) -> Float[np.ndarray, " sample"]:
    """Take the harmonic mean of values in [0, 1] over the first axis; 0 where one of them is 0."""
    smallest = values.min(0)
    inverse = (1 / np.where(smallest > 0, values, 1.0)).sum(0)
    return np.where(smallest > 0, len(values) / inverse, np.where(np.isnan(smallest), np.nan, 0.0))
