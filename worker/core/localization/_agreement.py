"""How far localizations agree on the components of a model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import spearmanr


def rank_correlation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Spearman's correlation of |score| over the components that both scored; NaN below three."""
    names = sorted(one.keys() & other.keys())
    if len(names) < 3:
        return float("nan")
    a, b = (np.abs([scores[name] for name in names]) for scores in (one, other))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def top_overlap(one: Mapping[str, float], other: Mapping[str, float], n: int) -> float:
    """Share of the `n` components with the largest |score| that both name (Jaccard index)."""
    names = one.keys() & other.keys()
    tops = [
        set(sorted(names, key=lambda name: (-abs(scores[name]), name))[:n])
        for scores in (one, other)
    ]
    union = tops[0] | tops[1]
    return len(tops[0] & tops[1]) / len(union) if union else float("nan")
