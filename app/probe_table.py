"""The tables of an evaluation: aggregates with intervals, and one row per fact and format."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.contract.errors import NotFound
from worker.contract.result import Comparison, Evaluation, Result, Table

PAGE = 50
STEPS = (0.05, 0.25, 0.6)
"""Changes from which a cell's colour is faint, clear, strong."""
NEEDED = ("fact", "subject", "set", "format")


@dataclass(frozen=True)
class Row:
    """Where a quantity was measured: its comparisons by group (forget, retain, or all)."""

    place: str
    by_group: dict[str, Comparison]


@dataclass(frozen=True)
class Aggregates:
    """One evaluation's means: quantity in words -> rows."""

    evaluation: Evaluation
    quantities: dict[str, list[Row]]
    groups: dict[str, list[str]]
    has_after: bool
    has_facts: bool


def aggregates(result: Result) -> list[Aggregates]:
    """The means of every evaluation of a result."""
    return [_aggregates(found) for found in result.evaluations.values()]


def card_of(result: Result) -> Table | None:
    """The plain answers of a verdict, where the result holds one that has them."""
    verdict = result.evaluations.get("verdict")
    return verdict.tables.get("card") if verdict else None


def _aggregates(found: Evaluation) -> Aggregates:
    quantities: dict[str, dict[str, dict[str, Comparison]]] = {}
    groups: dict[str, list[str]] = {}
    for comparison in found.aggregates:
        *place, quantity = comparison.name.removeprefix(f"{found.name}.").split(".")
        group = place.pop() if place and place[-1] in ("forget", "retain") else ""
        words = _words(quantity)
        where = _words(" ".join(place)) or comparison.title
        quantities.setdefault(words, {}).setdefault(where, {})[group] = comparison
        if group not in groups.setdefault(words, []):
            groups[words].append(group)
    return Aggregates(
        found,
        {q: [Row(place, by) for place, by in rows.items()] for q, rows in quantities.items()},
        groups,
        any(comparison.after for comparison in found.aggregates),
        found.facts is not None and set(NEEDED) <= set(found.facts.columns),
    )


@dataclass(frozen=True)
class Cell:
    """One cell: its value, and, where it was measured twice, the value before.

    `tone` is `good-1` … `good-3`, `bad-1` … `bad-3` or empty; `sign` says the same without colour.
    """

    value: Any
    before: Any = None
    tone: str = ""
    sign: str = ""


@dataclass(frozen=True)
class FactPage:
    """A page of the facts' table."""

    columns: tuple[str, ...]
    rows: list[list[Cell]]
    total: int
    formats: list[str]
    evaluation: str


def fact_page(result: Result, name: str, asked: Mapping[str, str], offset: int) -> FactPage:
    """The rows that match `set`, `format` and `search`, in the evaluation's order: worst first."""
    found = result.evaluations.get(name)
    if found is None or found.facts is None:
        raise NotFound(f"This run has no table of facts for {name!r}.")
    at = {column: i for i, column in enumerate(found.facts.columns)}
    words = asked.get("search", "").casefold().split()
    rows = [
        row
        for row in found.facts.rows
        if all(not asked.get(f) or row[at[f]] == asked[f] for f in ("set", "format") if f in at)
        and all(word in " ".join(map(str, row[:6])).casefold() for word in words)
    ]
    shown = _columns(found.facts.columns)
    return FactPage(
        columns=tuple(title for title, _ in shown),
        rows=[[_cell(row, c, at) for _, c in shown] for row in rows[offset : offset + PAGE]],
        total=len(rows),
        formats=list(dict.fromkeys(str(row[at["format"]]) for row in found.facts.rows)),
        evaluation=name,
    )


def _columns(columns: tuple[str, ...]) -> list[tuple[str, str]]:
    """Titles and columns to show: of what was measured twice, only the column after."""
    shown = []
    for column in columns:
        quantity, _, state = column.rpartition(" ")
        is_first_of_two = state == "before" and f"{quantity} after" in columns
        if column != "fact" and not is_first_of_two:
            shown.append((quantity if state in ("before", "after") else column, column))
    return shown


def _cell(row: tuple[Any, ...], column: str, at: Mapping[str, int]) -> Cell:
    value = row[at[column]]
    quantity, _, state = column.rpartition(" ")
    if state != "after" or f"{quantity} before" not in at:
        return Cell(value)
    before = row[at[f"{quantity} before"]]
    if "probability" not in quantity or before is None or value is None:
        return Cell(value, before)
    change = float(value) - float(before)
    strength = sum(abs(change) >= step for step in STEPS)
    if not strength:
        return Cell(value, before)
    wanted = -1 if ("target" in quantity) == (row[at["set"]] == "forget") else 1
    tone = "good" if change * wanted > 0 else "bad"
    return Cell(value, before, f"{tone}-{strength}", "▲" if change > 0 else "▼")


def _words(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
