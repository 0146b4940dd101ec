"""A fact's metric on the clean and on the corrupted prompt: whether they differ, and which way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """The metric of one fact, clean and corrupted, averaged over its corrupted copies."""

    clean: float
    corrupted: float
    rounding: float
    """The largest difference that rounding alone can make."""

    @property
    def difference(self) -> float:
        return self.clean - self.corrupted

    @property
    def is_none(self) -> bool:
        """Whether the corruption changed nothing that can be told from rounding."""
        return abs(self.difference) <= self.rounding

    @property
    def is_raised(self) -> bool:
        """Whether the corruption raised the metric, so that nothing was lost to be brought back."""
        return self.difference < -self.rounding
