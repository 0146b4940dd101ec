"""The table of an attack or a reading: one row per fact and way of asking, before beside after."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worker.contract.facts import Fact
from worker.contract.result import Table
from worker.core.asking.before_after import State

Values = Mapping[str, Mapping[State, Sequence[float] | Float[np.ndarray, " fact"]]]
"""Quantity in words -> state -> one value per fact."""


@dataclass(frozen=True)
class Rows:
    """Facts that were asked in one way, and what was measured of each."""

    facts: Sequence[Fact]
    group: str
    """`forget` or `retain`."""
    format: str
    values: Values
    note: str = ""


def per_fact(title: str, parts: Sequence[Rows]) -> Table:
    """List every fact of every part, the worst first by the first quantity.

    Worst is a forget fact that has most of it, or a retain fact that lost most of it.
    """
    states: tuple[State, ...] = tuple(next(iter(parts[0].values.values())))
    quantities = tuple(dict.fromkeys(words for part in parts for words in part.values))
    columns = ["fact", "subject", "set", "format", "part", "target", "edit target"]
    measured = [
        (words, state)
        for words in quantities
        for state in states
        if any(state in part.values.get(words, {}) for part in parts)
    ]
    columns += [f"{words} {state}" for words, state in measured]
    rows = []
    for part in parts:
        for i, fact in enumerate(part.facts):
            cells: list[object] = [
                fact.id, fact.subject, part.group, part.format, part.note, fact.target,
                fact.edit_target,
            ]  # fmt: skip
            found = (part.values.get(words, {}).get(state) for words, state in measured)
            cells += [None if values is None else _number(values[i]) for values in found]
            rows.append((_harm(part, quantities[0], states, i), tuple(cells)))
    rows.sort(key=lambda row: -row[0])
    kept = [i for i, name in enumerate(columns) if name != "part" or any(p.note for p in parts)]
    return Table(
        title=title,
        columns=tuple(columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for _, row in rows),
    )


def _harm(part: Rows, quantity: str, states: Sequence[State], i: int) -> float:
    of = part.values[quantity]
    last = float(of[states[-1]][i])
    harm = last if part.group == "forget" else float(of[states[0]][i]) - last
    return -math.inf if math.isnan(harm) else harm


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)
