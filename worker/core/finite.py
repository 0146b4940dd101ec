"""Refuse numbers that are none: NaN and infinity decide nothing and are shown nowhere.

A NaN compares as smaller than everything and as larger than nothing, so it turns into a rank, a
choice or a verdict without a word. It is refused where it could: stored weights when a model is
loaded (`models/stored.py`), logits where a forward gives them (`models/logits_watch.py`), values of
an edit before it is put on or kept (`models/deltas.py`), and all that a run gives (`border.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.errors import NotFinite

UNTOUCHED = "The model is untouched."


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite; one pass without a copy where all is well."""
    values = values.detach()
    if not values.is_floating_point():
        return True
    wide = values.dtype if values.itemsize >= 4 else torch.float32
    # A sum is NaN or infinite where a term is; finite terms may overflow too, so those are counted.
    if bool(values.sum(dtype=wide).isfinite()):
        return True
    return bool((values if values.itemsize > 1 else values.float()).isfinite().all())


def require_finite(values: Tensor, what: str, cure: str = UNTOUCHED) -> None:
    """Raise NotFinite where a value is NaN or infinite; `what` begins the sentence."""
    if not is_finite(values):
        raise NotFinite(f"{what} {count_words(values)}, where numbers were expected. {cure}")


def count_words(values: Tensor | np.ndarray) -> str:
    """Say how many values are NaN or infinite, and where the first is."""
    found = torch.as_tensor(np.asarray(values)) if isinstance(values, np.ndarray) else values
    found = found.detach()
    found = found.float() if found.itemsize < 2 else found
    nan, infinite = int(found.isnan().sum()), int(found.isinf().sum())
    parts = [f"{nan:,} NaN"] * bool(nan) + [f"{infinite:,} infinite"] * bool(infinite)
    first = torch.nonzero(~found.isfinite())[0].tolist() if found.ndim else []
    place = f", the first at [{', '.join(map(str, first))}]" if first else ""
    return f"has {' and '.join(parts)} of {found.numel():,} values{place}"


def first_not_finite(data: Any, path: str = "") -> tuple[str, float] | None:
    """Find the first float in plain data that is NaN or infinite, with its dotted path."""
    if isinstance(data, float | np.floating):
        return None if np.isfinite(data) else (path, float(data))
    if isinstance(data, dict):
        pairs = [(str(key), value) for key, value in data.items()]
    elif isinstance(data, list | tuple):
        pairs = [(str(i), value) for i, value in enumerate(data)]
    else:
        return None
    for key, value in pairs:
        if (found := first_not_finite(value, f"{path}.{key}" if path else key)) is not None:
            return found
    return None
