"""The two states that every evaluation compares: the base model, and the model with its edits
and under interventions.

What was measured on a base is kept for a while: a study evaluates many edits of one base on the
same facts, and measures the base once. What two evaluations ask of one edit may be kept as well.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from safetensors import safe_open

from worker.core.asking.kept import measured_once
from worker.core.models.deltas import edited
from worker.core.models.interventions import Change, intervened
from worker.core.models.model import Model

State = Literal["before", "after"]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class BeforeAfter:
    """A base model, its edits' delta files in the order in which they are applied, and what is
    switched on in the edited model."""

    base: Model
    deltas: tuple[Path, ...] = ()
    changes: tuple[Change, ...] = ()
    _changed: list[bool] = field(default_factory=list, repr=False, compare=False)

    @property
    def names(self) -> tuple[State, ...]:
        """The states there are: a base model without edits or interventions has only `before`."""
        return ("before", "after") if self.deltas or self.changes else ("before",)

    def measure(
        self, measure: Callable[[Model, State], T], of: tuple[object, ...] | None = None
    ) -> dict[State, T]:
        """Call `measure` on the model in each state; the base is put back whatever happens.

        `of` is everything that the measurement depends on besides the weights; where it is given,
        a base with edits is measured once for equal weights and equal `of`.
        A function is taken, not an iterator given: a loop body that fails would leave an iterator
        unfinished, and the model edited, for as long as the exception is held.
        """
        before, after = self.measure_against(
            lambda model: measure(model, "before"),
            lambda model, _: measure(model, "after"),
            None if of is None else (measure.__module__, *of),
        )
        return {"before": before} if after is None else {"before": before, "after": after[0]}

    def measure_against(
        self,
        before: Callable[[Model], T],
        after: Callable[[Model, T], U],
        of: tuple[object, ...] | None = None,
    ) -> tuple[T, tuple[U] | None]:
        """Measure the base, then the changed model with what the base gave; None where it is one.

        `of` as in `measure`; its first part names the asker.
        """
        two = len(self.names) == 2
        found = self._kept(before, of) if of and two else before(self.base)
        if not two:
            return found, None
        with edited(self.base, self.deltas), intervened(self.base, self.changes):
            self._changed.append(True)
            try:
                return found, (after(self.base, found),)
            finally:
                self._changed.pop()

    def once(self, state: State, of: tuple[object, ...], ask: Callable[[], T]) -> T:
        """Give what was measured in this state under `of`, or ask for it now and keep it.

        For what several evaluations of one edit need alike. Raises RuntimeError where the base is
        asked while it is changed: the changed model would answer in its place.
        """
        if self._changed != [True] * (state == "after"):
            raise RuntimeError(f"What is measured {state} the edit was asked for at another time.")
        return measured_once(self.key(state, of), ask)

    def key(self, state: State, of: tuple[object, ...]) -> str:
        """Name what is measured in this state under `of`, as it is kept by."""
        words = hashlib.sha256(repr(of).encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self.hash_of(state)} {self.base.device} {self.base.dtype} {words}"

    def hash_of(self, state: State) -> str:
        """Give the hash of a state's weights, which applying the edits has verified."""
        if state == "after" and self.deltas:
            with safe_open(self.deltas[-1], framework="pt") as file:
                return str((file.metadata() or {})["after_hash"]) + self.base.intervened
        return self.base.state_hash

    def _kept(self, before: Callable[[Model], T], of: tuple[object, ...]) -> T:
        return self.once("before", of, lambda: before(self.base))
