"""Numbers as figures need them: quantized for the eye, in full for the download."""

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


def full(value: Any) -> Any:
    """A cell of a CSV: full precision; None and NaN become empty."""
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.9g}" if math.isfinite(value) else ""
    return "" if value is None else value


def largest(arrays: Sequence[NDArray[Any]]) -> float:
    """The largest absolute finite value of some arrays; 0 where there is none."""
    finite = [np.abs(a[np.isfinite(a)]) for a in arrays]
    return max((float(a.max()) for a in finite if a.size), default=0.0)
