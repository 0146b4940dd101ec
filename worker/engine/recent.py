"""What was made of the objects seen last, for those that come again as the very same object."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Makes a value of an object once, while the object is among the `most` asked for last.

    Objects are told apart by identity: to compare thousands of facts would take longer than it
    saves. Each is kept beside its value, so that no other object can have its id meanwhile.
    """

    def __init__(self, most: int, make: Callable[[K], V]) -> None:
        self._most, self._make = most, make
        self._made: OrderedDict[int, tuple[K, V]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, given: K) -> V:
        """Give the object's value; two threads that ask together may both make it."""
        with self._lock:
            if known := self._made.get(id(given)):
                self._made.move_to_end(id(given))
                return known[1]
        value = self._make(given)
        with self._lock:
            self._made[id(given)] = given, value
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return value
