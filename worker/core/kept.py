"""Values that are kept for a while, up to a bound in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor

Of = TypeVar("Of")
Given = ParamSpec("Given")
Found = TypeVar("Found")


def once_for_each(
    function: Callable[Concatenate[Of, Given], Found],
) -> Callable[Concatenate[Of, Given], Found]:
    """Answer once for each first argument, while that lives, and for the hashable others.

    A cache of functools would keep a model alive by what was counted of it.
    """
    known: WeakKeyDictionary[Of, dict[Hashable, Found]] = WeakKeyDictionary()

    @wraps(function)
    def asked(of: Of, /, *args: Given.args, **kwargs: Given.kwargs) -> Found:
        answers, key = known.setdefault(of, {}), (args, tuple(sorted(kwargs.items())))
        if key not in answers:
            answers[key] = function(of, *args, **kwargs)
        return answers[key]

    return asked


class Kept:
    """Values by key, the ones used last, up to `bound` bytes of arrays, tensors and texts."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._values: OrderedDict[object, tuple[int, Any]] = OrderedDict()

    def get(self, key: object) -> Any | None:
        """Give what is kept under a key; None where nothing is."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][1]

    def holds(self, key: object) -> bool:
        """Say whether a value is kept under a key, which does not count as using it."""
        return key in self._values

    def keys(self) -> list[object]:
        """List the keys, the one used last at the end."""
        return list(self._values)

    def keep(self, key: object, value: Any) -> None:
        """Keep a value, and let go of the ones used longest ago; not one larger than the bound."""
        size = size_of(value)
        if size <= self.bound:
            self._values[key] = size, value
            while self.size > self.bound:
                self._values.popitem(last=False)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(size for size, _ in self._values.values())

    def clear(self) -> None:
        """Let go of everything."""
        self._values.clear()


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
