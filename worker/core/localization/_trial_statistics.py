"""How tracing's effects and the scores of trial edits go together, over windows and among facts."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from worker.contract import bootstrap
from worker.core.findings import Summary

MEASURES = {
    "own": "Edit target in the fact's own words",
    "reworded": "Edit target in words that were not trained",
    "kept": "What neighbours keep of their answers' probability",
}
RESAMPLES = 1000
Trials = Float[np.ndarray, "fact window"]


def scored(measured: dict[str, Trials]) -> Trials:
    """Take the harmonic mean of what was measured; 0 where one is 0, without those that are NaN."""
    values = np.stack([measured[name] for name in MEASURES])
    known = ~np.isnan(values)
    positive = np.where(known & (values > 0), values, 1.0)
    mean = known.sum(0) / np.where(known, 1 / positive, 0.0).sum(0)
    found: Trials = np.where(((values <= 0) & known).any(0), 0.0, mean)
    return found


def compared(effect: Trials, score: Trials, seed: int) -> Summary:
    """Every number that sets effects beside scores, each with its interval over facts.

    A number that is not defined (all windows alike) is None.
    """
    found: Summary = {}
    for name, combine in COMPARISONS.items():
        value, low, high = _interval(combine, effect, score, seed)
        found |= {f"trial.{name}": value, f"trial.{name}.low": low, f"trial.{name}.high": high}
    best, traced = int(score.mean(0).argmax()), int(effect.mean(0).argmax())
    means = score.mean(0)
    return found | {
        "trial.best.score": best,
        "trial.best.effect": traced,
        "trial.score.best": float(means[best]),
        "trial.score.traced": float(means[traced]),
    }


def over_windows(effect: Trials, score: Trials) -> float:
    """Correlate the mean effect with the mean score over windows (Pearson); NaN if one is flat."""
    return _correlation(effect.mean(0), score.mean(0))


def inside_windows(effect: Trials, score: Trials) -> float:
    """Correlate them among facts, each window's mean taken away; NaN where nothing is left."""
    return _correlation(_centred(effect), _centred(score))


def by_window(effect: Trials, score: Trials) -> float:
    """The share of the score's variance that the window alone explains; NaN where it has none."""
    whole = _squares(score - score.mean())
    return 1 - _squares(_centred(score)) / whole if whole else float("nan")


def by_effect(effect: Trials, score: Trials) -> float:
    """The share that a line in each fact's own effect explains beyond the window."""
    whole, inside = _squares(score - score.mean()), inside_windows(effect, score)
    if not whole or np.isnan(inside):
        return float("nan")
    return float(inside**2) * _squares(_centred(score)) / whole


def by_another(effect: Trials, score: Trials) -> float:
    """The same with other facts' effects, which can know nothing of a fact: the control."""
    shifts = range(1, len(effect))
    found = [by_effect(np.roll(effect, shift, axis=0), score) for shift in shifts]
    return float(np.mean(found)) if found else float("nan")


COMPARISONS: dict[str, Callable[[Trials, Trials], float]] = {
    "correlation": over_windows,
    "correlation_inside": inside_windows,
    "explained.by_window": by_window,
    "explained.by_effect": by_effect,
    "explained.by_another": by_another,
}
"""Name in the summary -> how it is computed."""


def _interval(
    combine: Callable[[Trials, Trials], float], effect: Trials, score: Trials, seed: int
) -> tuple[float | None, float | None, float | None]:
    """A number of all facts, with the 95 % percentile interval over facts drawn anew."""
    value = combine(effect, score)
    if np.isnan(value):
        return None, None, None
    drawn = bootstrap.draws(len(effect), RESAMPLES, seed)
    made = np.array([combine(effect[rows], score[rows]) for rows in drawn])
    low, high = np.quantile(made[~np.isnan(made)], [0.025, 0.975])
    return value, min(float(low), value), max(float(high), value)


def _centred(values: Trials) -> Trials:
    return np.asarray(values - values.mean(0))


def _squares(values: Trials) -> float:
    return float((values**2).sum())


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 1e-12 else float("nan")
