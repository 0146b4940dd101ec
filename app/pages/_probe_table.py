"""The tables of an evaluation: aggregates with intervals, and one row per fact and format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.contract.result import Comparison, Evaluation, Result


@dataclass(frozen=True)
class Tables:
    """One evaluation as the page shows it."""

    evaluation: Evaluation
    groups: dict[str, list[Comparison]]
    """Quantity in words -> its comparisons."""
    columns: tuple[str, ...] = ()
    rows: list[list[Any]] = field(default_factory=list)


def probe_tables(result: Result) -> list[Tables]:
    """Every evaluation of a result."""
    return [_tables(found) for found in result.evaluations.values()]


def _tables(found: Evaluation) -> Tables:
    groups: dict[str, list[Comparison]] = {}
    for comparison in found.aggregates:
        quantity = comparison.name.rpartition(".")[2].replace("_", " ")
        groups.setdefault(quantity, []).append(comparison)
    rows: Sequence[Sequence[Any]] = found.facts.rows if found.facts else ()
    return Tables(
        found, groups, found.facts.columns if found.facts else (), [list(row) for row in rows]
    )
