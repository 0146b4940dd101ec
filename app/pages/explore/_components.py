"""What each component adds to a logit: bars that sum to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.drawing.ask import choose
from app.figures.decomposition_bars import OF, parts
from worker.contract.result import Result


@dataclass(frozen=True)
class Bar:
    """One component's part of the logit, in each model."""

    name: str
    values: tuple[float, ...]
    shares: tuple[float, ...]
    """Per cent of the widest bar."""


@dataclass(frozen=True)
class Bars:
    """A logit as the sum of its components."""

    of: str
    choices: list[tuple[str, str]]
    bars: tuple[Bar, ...]
    sums: tuple[Mapping[str, float], ...]
    """Of each model: the bars' sum and the logit."""


def decomposed(found: Sequence[Result], asked: Mapping[str, str]) -> Bars:
    """The bars of the logit that the address asks for."""
    known = [name for name in parts(found[0]) if all(name in parts(one) for one in found)]
    of = choose(asked, "of", known)
    arrays = [one.arrays[f"decomposition.{of}"] for one in found]
    values = [np.array(array.values, float) for array in arrays]
    widest = max(float(np.abs(v).max()) for v in values) or 1.0
    labels = arrays[0].axes[0].labels or ()
    bars = tuple(
        Bar(
            label,
            tuple(float(v[i]) for v in values),
            tuple(round(100 * abs(float(v[i])) / widest, 2) for v in values),
        )
        for i, label in enumerate(labels)
    )
    sums = tuple(one.view["sums"][of] for one in found)
    return Bars(of, [(name, OF[name]) for name in known], bars, sums)
