"""Numbers for the eye: quantized for figures, three significant figures for tables."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 2000
"""Steps of the colour range that a quantized value is rounded to; a colour bar shows about 256."""


def quantize(values: NDArray[Any], span: float | None = None) -> list[Any]:
    """Round to what the eye can tell; NaN and infinities become None.

    `span` is the width of the range they are drawn on, by default their own.
    """
    finite = values[np.isfinite(values)]
    if span is None:
        span = float(np.ptp(finite)) or float(np.max(np.abs(finite))) if finite.size else 0.0
    decimals = max(0, math.ceil(math.log10(STEPS / span))) if span > 0 else 0
    return _plain(np.round(values.astype(float), min(decimals, 15)))


def _plain(values: NDArray[Any]) -> list[Any]:
    if values.ndim > 1:
        return [_plain(row) for row in values]
    return [float(v) if np.isfinite(v) else None for v in values]


def significant(value: Any, digits: int = 3) -> str:
    """Write a number with three significant figures; what is no number is written as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.{digits - 1}e}".replace("-", "−")
    places = digits - 1 - math.floor(math.log10(abs(value))) if value else digits - 1
    return f"{value:.{min(max(places, 0), 5)}f}".replace("-", "−")


def full(value: Any) -> Any:
    """A cell of a CSV: full precision; None and NaN become empty."""
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.9g}" if math.isfinite(value) else ""
    return "" if value is None else value


def largest(arrays: Sequence[NDArray[Any]]) -> float:
    """The largest absolute finite value of some arrays; 0 where there is none."""
    finite = [np.abs(a[np.isfinite(a)]) for a in arrays]
    return max((float(a.max()) for a in finite if a.size), default=0.0)
