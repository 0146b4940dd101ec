"""What was measured on bases, kept for a while: a study asks the same of one base for every cell.

Kept are the measurements used last, up to a bound in bytes; one that is larger by itself is not
kept, and measured anew. What a measurement took is remembered with it, so that a run that was
spared it does not pass for a fast one.

A process that looks ahead for another one is told what that one keeps (`known_elsewhere`), and does
then not count what it keeps itself.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from worker.core.kept import Kept

T = TypeVar("T")
_measured = Kept(256 * 2**20)
"""Bytes; a cell of the bundled model's studies has some hundred kilobytes."""
_stores = [_measured]
TOLD = 5_000
"""Measurements of which another process is told: of each store those used last."""
_elsewhere: ContextVar[frozenset[str] | None] = ContextVar("elsewhere", default=None)
_spared: ContextVar[list[float] | None] = ContextVar("spared", default=None)


def measured_once(key: str, measure: Callable[[], T]) -> T:
    """Give what was measured under `key` before, or measure it and keep it."""
    found: tuple[T, float] | None = _measured.get(key)
    if found is not None:
        spare(found[1])
        return found[0]
    with spared_seconds() as within:
        begun = time.perf_counter()
        value = measure()
        seconds = time.perf_counter() - begun + sum(within)
    if (spared := _spared.get()) is not None:
        spared.extend(within)
    _measured.keep(key, (value, seconds))
    return value


def is_kept(key: str) -> bool:
    """Say whether something was measured under `key` and is kept where runs are computed, without
    measuring it."""
    elsewhere = _elsewhere.get()
    if elsewhere is not None:
        return _short(key) in elsewhere
    return any(store.holds(key) for store in _stores)


def is_anything_kept() -> bool:
    """Say whether anything was measured yet where runs are computed."""
    elsewhere = _elsewhere.get()
    return any(store.size > 0 for store in _stores) if elsewhere is None else bool(elsewhere)


def keep_apart(bound: int) -> Kept:
    """Make a store of its own for measurements of one sort, up to `bound` bytes."""
    _stores.append(Kept(bound))
    return _stores[-1]


def kept_keys() -> tuple[str, ...]:
    """Give short names of what this process keeps, for one that looks ahead elsewhere."""
    return tuple(_short(key) for store in _stores for key in store.keys()[-TOLD:])


@contextmanager
def known_elsewhere(keys: Iterable[str] | None) -> Iterator[None]:
    """Have `is_kept` speak of what another process keeps, which named it so; None: of this one."""
    token = _elsewhere.set(None if keys is None else frozenset(keys))
    try:
        yield
    finally:
        _elsewhere.reset(token)


def _short(key: object) -> str:
    return hashlib.sha256(str(key).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def kept_value(key: str) -> object | None:
    """Give what this process keeps under `key`; None where nothing is. Nobody counts as spared by
    it."""
    found: tuple[object, float] | None = _measured.get(key)
    return None if found is None else found[0]


def spare(seconds: float) -> None:
    """Say what a measurement took that is kept elsewhere and given again instead of made."""
    if (spared := _spared.get()) is not None:
        spared.append(seconds)


@contextmanager
def spared_seconds() -> Iterator[list[float]]:
    """Gather what the measurements took that are given again here instead of made."""
    gathered: list[float] = []
    token = _spared.set(gathered)
    try:
        yield gathered
    finally:
        _spared.reset(token)
