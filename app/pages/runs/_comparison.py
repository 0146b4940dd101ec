"""What several runs have in common and where they differ: settings and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.drawing.drawing import Source
from worker.contract.records import RunRecord
from worker.contract.result import Result

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


def settings(compared: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """The settings in which the runs differ, defaults filled in."""
    flat = [_flat(one.result.spec or one.run.spec) for one in compared]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = [(name, [one.get(name, "–") for one in flat]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in spec.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            found[prefix + name] = words if len(words) <= 200 else f"{words[:200]}…"
    return found


@dataclass(frozen=True)
class Number:
    """One named number of one run, with its interval where there is one."""

    value: Any
    low: float | None = None
    high: float | None = None
    is_best: bool = False


def numbers(compared: Sequence[Compared]) -> list[tuple[str, str, list[Number]]]:
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


def _intervals(result: Result) -> dict[str, tuple[tuple[float, float], str]]:
    found: dict[str, tuple[tuple[float, float], str]] = {}
    for evaluation in result.evaluations.values():
        for one in evaluation.aggregates:
            for state in ("before", "after"):
                if estimate := getattr(one, state):
                    found[f"{one.name}.{state}"] = ((estimate.low, estimate.high), one.better)
    return found


def _best(values: Sequence[Any], better: str) -> float | None:
    known = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if better == "none" or len(set(known)) < 2:
        return None
    return max(known) if better == "higher" else min(known)
