"""Means of an evaluation with their intervals, before beside after, one quantity at a time."""

from collections.abc import Mapping

import numpy as np

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_bars
from worker.contract.result import Comparison, Estimate, Evaluation, Result


def offers(result: Result) -> list[Offer]:
    """One offer per evaluation with aggregates."""
    return [
        Offer(
            "estimates",
            f"Means with intervals: {found.title}",
            fixed=(("evaluation", name),),
            controls=(Control("of", "Quantity", _choices(found), ""),),
        )
        for name, found in result.evaluations.items()
        if found.aggregates
    ]


def _choices(found: Evaluation) -> tuple[tuple[str, str], ...]:
    return tuple((q, q.replace("_", " ")) for q in quantities(found))


def quantities(found: Evaluation) -> dict[str, list[Comparison]]:
    """The last part of every comparison's name -> the comparisons."""
    grouped: dict[str, list[Comparison]] = {}
    for comparison in found.aggregates:
        grouped.setdefault(comparison.name.rpartition(".")[2], []).append(comparison)
    return grouped


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one quantity over formats and over forget and retain facts."""
    name = choose(ask, "evaluation", list(source.result.evaluations))
    found = source.result.evaluations[name]
    grouped = quantities(found)
    quantity = choose(ask, "of", list(grouped))
    chosen = grouped[quantity]
    series = []
    for state in ("before", "after"):
        estimates: list[Estimate | None] = [getattr(c, state) for c in chosen]
        if any(estimates):
            series.append(_series(state, estimates))
    words = quantity.replace("_", " ")
    return draw_bars(
        Chart(
            title=f"{found.title}: {words}",
            caption=(
                f"Mean {words} over the facts of each group, with its 95 % bootstrap interval. "
                f"{found.caption}"
            ),
            x_title="format, facts",
            x=tuple(float(i) for i in range(len(chosen))),
            labels=tuple(_label(c, name) for c in chosen),
            y_title=words,
            series=tuple(series),
        )
    )


def _series(state: str, estimates: list[Estimate | None]) -> Series:
    mean, low, high = (
        np.array([getattr(e, part) if e else np.nan for e in estimates])
        for part in ("mean", "low", "high")
    )
    return Series(state, mean, low, high)


def _label(comparison: Comparison, evaluation: str) -> str:
    parts = comparison.name.removeprefix(f"{evaluation}.").split(".")[:-1]
    return ", ".join(part.replace("_", " ") for part in parts) or comparison.title
