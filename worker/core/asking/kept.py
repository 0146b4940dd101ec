"""What was measured on bases, kept for a while: a study asks the same of one base for every cell.

Kept are the measurements used last, up to a bound in bytes; one that is larger by itself is not
kept, and measured anew.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

T = TypeVar("T")
BOUND = 256 * 2**20
"""Bytes; a cell of the bundled model's studies has some hundred kilobytes."""
_kept: OrderedDict[str, tuple[int, Any]] = OrderedDict()


def measured_once(key: str, measure: Callable[[], T]) -> T:
    """Give what was measured under `key` before, or measure it and keep it."""
    if key in _kept:
        _kept.move_to_end(key)
        found: T = _kept[key][1]
        return found
    new = measure()
    size = size_of(new)
    if size <= BOUND:
        _kept[key] = size, new
        while sum(each for each, _ in _kept.values()) > BOUND:
            _kept.popitem(last=False)
    return new


def forget_all() -> None:
    """Drop every kept measurement."""
    _kept.clear()


def size_of(value: object) -> int:
    """Bytes of the arrays, tensors and texts in a measurement, and a little for everything else."""
    if isinstance(value, np.ndarray | Tensor):
        return int(value.nbytes)
    if isinstance(value, str):
        return len(value)
    if is_dataclass(value) and not isinstance(value, type):
        return sum(size_of(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, Mapping):
        return sum(size_of(k) + size_of(v) for k, v in value.items())
    if isinstance(value, Sequence):
        return sum(size_of(one) for one in value)
    return 64
