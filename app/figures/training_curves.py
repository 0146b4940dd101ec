"""What a training did, step by step: the losses, and the probabilities measured on the way."""

from collections.abc import Mapping

import numpy as np

from app.drawing.ask import choose
from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_lines
from worker.contract.result import Result

KINDS = {"probability": "Probabilities while training", "loss": "Losses while training"}
CAPTIONS = {
    "probability": "Mean probability of the whole answer (each of its tokens after the right ones "
    "before it) over the facts of each kind, measured before the first step and while training.",
    "loss": "The terms of the loss at every optimizer step, before their weights.",
}
ORDER = ("forget", "edit", "retain", "general")
"""Curves keep their colours from the live figure to the result's."""

Points = Mapping[float, float]


def offers(result: Result) -> list[Offer]:
    """One offer for the probabilities and one for the losses, where there are any."""
    return [
        Offer("training_curves", KINDS[kind], fixed=(("of", kind),))
        for kind in KINDS
        if curves_of(result, kind)
    ]


def curves_of(result: Result, kind: str) -> list[str]:
    """Names of the curves whose name ends with the kind."""
    found = [n for n in result.arrays if n.startswith("curve.") and n.endswith(kind)]
    return sorted(found, key=_place)


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the probabilities or the losses."""
    kind = choose(ask, "of", [k for k in KINDS if curves_of(source.result, k)])
    curves: dict[str, Points] = {}
    units: dict[str, str] = {}
    for name in curves_of(source.result, kind):
        info, values = source.info(name), source.array(name).tolist()
        steps = info.axes[0].labels or tuple(str(i) for i in range(len(values)))
        title = info.title or name.removeprefix("curve.")
        curves[title], units[title] = dict(zip(map(float, steps), values, strict=True)), info.unit
    return draw_curves(kind, curves, units)


def draw_curves(
    kind: str, curves: Mapping[str, Points], units: Mapping[str, str] | None = None
) -> Drawing:
    """Draw curves of one kind over the optimizer's steps; each has values at steps of its own.

    `units` are the losses' own, nats where none is given; where they differ each curve names its.
    """
    units = {title: (units or {}).get(title) or "nats" for title in curves}
    differ = kind == "loss" and len(set(units.values())) > 1
    steps = sorted({step for points in curves.values() for step in points})
    series = tuple(
        Series(
            f"{title} ({units[title]})" if differ else title,
            np.array([points.get(step, np.nan) for step in steps]),
        )
        for title, points in curves.items()
    )
    is_probability = kind == "probability"
    drawing = draw_lines(
        Chart(
            title=KINDS[kind],
            caption=CAPTIONS[kind],
            x_title="step",
            x=tuple(steps),
            y_title="probability" if is_probability else _losses(set(units.values())),
            series=series,
            y_range=(-0.03, 1.03) if is_probability else None,
        )
    )
    for trace in drawing.traces:
        trace["connectgaps"] = True
    return drawing


def _losses(units: set[str]) -> str:
    return f"loss ({units.pop()})" if len(units) == 1 else "loss, each in its own unit"


def _place(name: str) -> tuple[int, str]:
    word = name.removeprefix("curve.").partition("_")[0]
    return (ORDER.index(word) if word in ORDER else len(ORDER), name)
