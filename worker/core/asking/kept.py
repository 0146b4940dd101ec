"""What was measured on bases, kept for a while: a study asks the same of one base for every cell.

Kept are the measurements used last, up to a bound in bytes; one that is larger by itself is not
kept, and measured anew.
"""

from collections.abc import Callable
from typing import TypeVar

from worker.core.kept import Kept

T = TypeVar("T")
_measured = Kept(256 * 2**20)
"""Bytes; a cell of the bundled model's studies has some hundred kilobytes."""


def measured_once(key: str, measure: Callable[[], T]) -> T:
    """Give what was measured under `key` before, or measure it and keep it."""
    found: tuple[T] | None = _measured.get(key)
    if found is None:
        found = (measure(),)
        _measured.keep(key, found)
    return found[0]
