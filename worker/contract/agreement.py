"""How far two localizations agree: the order of their components, and the ones they put first."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Scores = Mapping[str, float]
"""Component's name -> score; NaN where it was not measured."""


def rank_correlation(one: Scores, other: Scores) -> float:
    """Spearman's correlation of |score| over the components that both scored; NaN below three."""
    names = shared(one, other)
    if len(names) < 3:
        return float("nan")
    ranks = [_ranks(np.abs([scores[name] for name in names])) for scores in (one, other)]
    if any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    return float(np.asarray(np.corrcoef(np.stack(ranks)))[0, 1])


def top_overlap(one: Scores, other: Scores, n: int) -> float:
    """Share of the `n` components with the largest |score| that both name (Jaccard index).

    Only components that both scored take part; NaN where there are none.
    """
    names = shared(one, other)
    tops = [
        set(sorted(names, key=lambda name: (-abs(scores[name]), name))[:n])
        for scores in (one, other)
    ]
    union = tops[0] | tops[1]
    return len(tops[0] & tops[1]) / len(union) if union else float("nan")


def shared(one: Scores, other: Scores) -> list[str]:
    """The components that both measured."""
    return sorted(
        name
        for name in one.keys() & other.keys()
        if np.isfinite(one[name]) and np.isfinite(other[name])
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: NDArray[np.float64] = (ends - counts + ends - 1) / 2
    return means[inverse]
