"""What was measured on bases, kept for a while: a study asks the same of one base for every cell.

Kept are the measurements used last, up to a bound in bytes; one that is larger by itself is not
kept, and measured anew. What a measurement took is remembered with it, so that a run that was
spared it does not pass for a fast one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from worker.core.kept import Kept

T = TypeVar("T")
_measured = Kept(256 * 2**20)
"""Bytes; a cell of the bundled model's studies has some hundred kilobytes."""


_spared: ContextVar[list[float] | None] = ContextVar("spared", default=None)


def measured_once(key: str, measure: Callable[[], T]) -> T:
    """Give what was measured under `key` before, or measure it and keep it."""
    found: tuple[T, float] | None = _measured.get(key)
    if found is not None:
        if (spared := _spared.get()) is not None:
            spared.append(found[1])
        return found[0]
    with spared_seconds() as within:
        begun = time.perf_counter()
        value = measure()
        seconds = time.perf_counter() - begun + sum(within)
    if (spared := _spared.get()) is not None:
        spared.extend(within)
    _measured.keep(key, (value, seconds))
    return value


@contextmanager
def spared_seconds() -> Iterator[list[float]]:
    """Gather what the measurements took that are given again here instead of made."""
    gathered: list[float] = []
    token = _spared.set(gathered)
    try:
        yield gathered
    finally:
        _spared.reset(token)
