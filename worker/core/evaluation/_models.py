"""The two states that every evaluation compares: the base model, and the model with its edits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from worker.core.models.deltas import edited
from worker.core.models.model import Model

State = Literal["before", "after"]
T = TypeVar("T")


@dataclass(frozen=True)
class BeforeAfter:
    """A base model and its edits' delta files, in the order in which they are applied."""

    base: Model
    deltas: tuple[Path, ...] = ()

    @property
    def names(self) -> tuple[State, ...]:
        """The states there are: a base model without edits has only `before`."""
        return ("before", "after") if self.deltas else ("before",)

    def measure(self, measure: Callable[[Model, State], T]) -> dict[State, T]:
        """Call `measure` on the model in each state; the base is put back whatever happens.

        A function is taken, not an iterator given: a loop body that fails would leave an iterator
        unfinished, and the model edited, for as long as the exception is held.
        """
        found: dict[State, T] = {"before": measure(self.base, "before")}
        if self.deltas:
            with edited(self.base, self.deltas):
                found["after"] = measure(self.base, "after")
        return found
