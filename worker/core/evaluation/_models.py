"""The two states that every evaluation compares: the base model, and the model with its edits.

What was measured on a base is kept for a while: a study evaluates many edits of one base on the
same facts, and measures the base once.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from worker.core.models.deltas import edited
from worker.core.models.model import Model

State = Literal["before", "after"]
T = TypeVar("T")
KEPT = 32
"""Measurements of bases that a process keeps; one of a study has a few hundred numbers."""
_kept: OrderedDict[tuple[str, str], Any] = OrderedDict()


@dataclass(frozen=True)
class BeforeAfter:
    """A base model and its edits' delta files, in the order in which they are applied."""

    base: Model
    deltas: tuple[Path, ...] = ()

    @property
    def names(self) -> tuple[State, ...]:
        """The states there are: a base model without edits has only `before`."""
        return ("before", "after") if self.deltas else ("before",)

    def measure(
        self, measure: Callable[[Model, State], T], of: tuple[object, ...] | None = None
    ) -> dict[State, T]:
        """Call `measure` on the model in each state; the base is put back whatever happens.

        `of` is everything that the measurement depends on besides the weights; where it is given,
        a base with edits is measured once for equal weights and equal `of`.
        A function is taken, not an iterator given: a loop body that fails would leave an iterator
        unfinished, and the model edited, for as long as the exception is held.
        """
        found: dict[State, T] = {"before": self._before(measure, of)}
        if self.deltas:
            with edited(self.base, self.deltas):
                found["after"] = measure(self.base, "after")
        return found

    def _before(self, measure: Callable[[Model, State], T], of: tuple[object, ...] | None) -> T:
        if of is None or not self.deltas:
            return measure(self.base, "before")
        words = hashlib.sha256(repr((measure.__module__, of)).encode()).hexdigest()
        key = (f"{self.base.weights_hash} {self.base.device} {self.base.dtype}", words)
        if key not in _kept:
            _kept[key] = measure(self.base, "before")
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        found: T = _kept[key]
        return found
