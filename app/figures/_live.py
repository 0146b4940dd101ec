"""Figures of a run that is still computing, from the pieces of its result that have come."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from app.figures._drawing import Drawing
from app.figures._heatmap import Colours, Grid, Side, draw_grid
from app.figures._sites import layers, site_title
from app.figures._words import show_token
from app.figures.training_curves import KINDS, ORDER, draw_curves

Partial = Mapping[str, Any]


def draw_live_grid(partials: Iterable[Partial], n_layers: int) -> Drawing | None:
    """Draw the fact and site whose rows came last; None before the first row."""
    rows = list(partials)
    if not rows:
        return None
    last = rows[-1]
    same = [row for row in rows if (row["fact"], row["site"]) == (last["fact"], last["site"])]
    n_layers = max(n_layers, 1 + max(row["layer"] for row in same))
    values = np.full((len(last["tokens"]), n_layers), np.nan)
    for row in same:
        values[: len(row["values"]), row["layer"]] = np.array(row["values"], float)
    subject = tuple(last["subject"])
    n_facts = len({row["fact"] for row in rows})
    return draw_grid(
        Grid(
            title=f"{last['fact']}: {site_title(last['site'])}",
            caption=(
                f"Fact {n_facts} of this run as it is computed: {site_title(last['site'])}, "
                f"layer by layer. Empty columns are still to come; the range follows the values."
            ),
            rows=Side(
                "token", tuple(map(show_token, last["tokens"])), bold=frozenset(range(*subject))
            ),
            columns=layers(n_layers),
            values=values,
            colours=Colours.over([values], "effect, not final", signed=True),
            value_title="effect",
            outlined=(subject[0], subject[1]),
        )
    )


def draw_live_curves(partials: Iterable[Partial], kind: str) -> Drawing | None:
    """Draw what was measured so far; None before the first point."""
    curves: dict[str, dict[float, float]] = {}
    for point in partials:
        for name, value in point.items():
            if name.endswith(kind) and isinstance(value, (int, float)):
                curves.setdefault(name, {})[float(point["step"])] = float(value)
    if kind not in KINDS or not curves:
        return None
    order = [f"{word}_{kind}" for word in ORDER]
    names = sorted(curves, key=lambda n: (order.index(n) if n in order else len(order), n))
    return draw_curves(kind, {_title(name): curves[name] for name in names})


TITLES = {
    "forget_probability": "Target on forget facts",
    "edit_probability": "Edit target on forget facts",
    "retain_probability": "Target on retain facts",
}


def _title(name: str) -> str:
    words = name.replace("_", " ")
    return TITLES.get(name, words[:1].upper() + words[1:])
