"""What a study's children are and what they gave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.contract.result import Result
from worker.contract.spec import Spec


@dataclass(frozen=True)
class Child:
    """A finished child run: its id or folder and its result, or the reason of its failure."""

    handle: str
    result: Result | None
    reason: str = ""


Children = Callable[[Sequence[Spec], str], list[Child]]
"""Runs specs (in any order, on any worker) and returns their children in the specs' order."""


@dataclass(frozen=True)
class Cell:
    """One mask under one method and seed."""

    mask: str
    method: str
    seed: int


@dataclass(frozen=True)
class Trial:
    """One combination of a search's options and its score; None when it failed."""

    mask: str
    method: str
    options: dict[str, Any]
    score: float | None
    handle: str
    seed: int
    """Of the search that it belongs to."""


@dataclass
class Outcome:
    """All that a study's children gave."""

    chosen: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)
    """(mask, method, the search's seed) -> the best trial's options."""
    trials: list[Trial] = field(default_factory=list)
    edits: dict[Cell, Child] = field(default_factory=dict)
    evaluations: dict[Cell, Child] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """What failed, and why."""
