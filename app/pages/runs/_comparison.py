"""What several runs of one kind have in common and where they differ: settings and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.drawing.drawing import Source
from worker.contract.records import RunRecord
from worker.contract.result import Result

Bounds = tuple[float, float] | tuple[None, None]
LIMIT = 12
"""Runs side by side; more cannot be told apart."""


@dataclass(frozen=True)
class Compared:
    """One run of a comparison, with the name under which it is shown."""

    name: str
    run: RunRecord
    source: Source

    @property
    def result(self) -> Result:
        return self.source.result


def named(runs: Sequence[RunRecord]) -> list[str]:
    """A short name for every run that no other has: what follows the colon only if it differs."""
    titles = [run.title for run in runs]
    parts = [title.partition(": ") for title in titles]
    if len({rest for _, _, rest in parts}) == 1:
        titles = [first for first, _, _ in parts]
    return [
        title if titles.count(title) == 1 else f"{title} ({run.id[:4]})"
        for title, run in zip(titles, runs, strict=True)
    ]


@dataclass(frozen=True)
class Group:
    """Runs of one kind: what differs between them, and what cannot be laid side by side."""

    kind: str
    compared: tuple[Compared, ...]

    @property
    def is_alone(self) -> bool:
        """Whether there is nothing of its kind to compare it with."""
        return len(self.compared) < 2

    @cached_property
    def settings(self) -> list[tuple[str, list[str]]]:
        """The settings in which the runs differ."""
        return settings(self.compared)

    @cached_property
    def numbers(self) -> "list[Row]":
        """The numbers that at least two of the runs have and that differ."""
        return [row for row in self._rows if not _is_same(row) and not _is_of_one(row)]

    @cached_property
    def same(self) -> "list[Row]":
        """The numbers that are the same in all of them."""
        return [row for row in self._rows if _is_same(row)]

    @cached_property
    def of_one(self) -> "list[Row]":
        """The numbers that only one of them has."""
        return [row for row in self._rows if _is_of_one(row) and not _is_same(row)]

    @cached_property
    def _rows(self) -> "list[Row]":
        return numbers(self.compared)


def groups(compared: Sequence[Compared]) -> list[Group]:
    """The runs by their kind, the kind with the most of them first."""
    kinds = dict.fromkeys(one.run.kind for one in compared)
    found = [Group(k, tuple(one for one in compared if one.run.kind == k)) for k in kinds]
    return sorted(found, key=lambda group: -len(group.compared))


def settings(compared: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """The settings in which the runs differ, defaults filled in.

    An option that not all of them have belongs to another method or mask, which has its own row.
    """
    flat = [_flat(one.result.spec or one.run.spec) for one in compared]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = [(name, [one.get(name, "–") for one in flat]) for name in names]
    return [
        (name, values)
        for name, values in rows
        if len(set(values)) > 1 and not (name.startswith("options.") and "–" in values)
    ]


def _flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in spec.items():
        if name == "mask" and isinstance(value, Mapping):
            found[name] = _mask_in_words(value)
        elif isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            found[prefix + name] = words if len(words) <= 200 else f"{words[:200]}…"
    return found


def _mask_in_words(mask: Mapping[str, Any]) -> str:
    """A mask of a spec in one line, whichever way it names its components."""
    parts = [f"{name} {value}" for name, value in _flat(mask).items()]
    return "; ".join(parts).replace("components ", "", 1) or "–"


@dataclass(frozen=True)
class Number:
    """One named number of one run, with its interval where there is one."""

    value: Any
    low: float | None = None
    high: float | None = None
    is_best: bool = False


Row = tuple[str, str, list[Number]]
"""A number's name, which direction is better, and the number of every run."""


def _is_same(row: Row) -> bool:
    return len({repr(number.value) for number in row[2]}) == 1


def _is_of_one(row: Row) -> bool:
    return sum(number.value is not None for number in row[2]) < 2


def numbers(compared: Sequence[Compared]) -> list[Row]:
    """(name, which direction is better, number of every run) for all numbers of a summary."""
    intervals = [_intervals(one.result) for one in compared]
    names = dict.fromkeys(name for one in compared for name in one.result.summary)
    rows = []
    for name in names:
        better = next((found[name][1] for found in intervals if name in found), "none")
        values = [one.result.summary.get(name) for one in compared]
        best = _best(values, better)
        cells = []
        for value, found in zip(values, intervals, strict=True):
            low, high = found[name][0] if name in found else (None, None)
            cells.append(Number(value, low, high, best is not None and value == best))
        rows.append((name, better, cells))
    return rows


def _intervals(result: Result) -> dict[str, tuple[Bounds, str]]:
    found: dict[str, tuple[Bounds, str]] = {}
    for evaluation in result.evaluations.values():
        for one in evaluation.aggregates:
            for state in ("before", "after"):
                if estimate := getattr(one, state):
                    found[f"{one.name}.{state}"] = (estimate.bounds, one.better)
    return found


def _best(values: Sequence[Any], better: str) -> float | None:
    known = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if better == "none" or len(set(known)) < 2:
        return None
    return max(known) if better == "higher" else min(known)
