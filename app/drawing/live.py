"""Figures of a run that is still computing, from the pieces of its result that have come."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.drawing import Drawing
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.sites import layers, site_title
from app.drawing.words import show_token
from app.figures.training_curves import KINDS, ORDER, draw_curves
from worker.contract.units import may_be_negative

Partial = Mapping[str, Any]


def draw_live_grid(partials: Iterable[Partial], n_layers: int) -> Drawing | None:
    """Draw the fact and site whose rows came last; None before the first row."""
    rows = list(partials)
    if not rows:
        return None
    last = rows[-1]
    same = [row for row in rows if (row["fact"], row["site"]) == (last["fact"], last["site"])]
    values = _filled(same, n_layers)
    n_layers = values.shape[1]
    subject = tuple(last["subject"])
    unit = last.get("unit", "effect")  # rows that an older worker told name none
    n_facts = len({row["fact"] for row in rows})
    return draw_grid(
        Grid(
            title=f"{last['fact']}: {site_title(last['site'])}",
            caption=(
                f"Fact {n_facts} of this run as it is computed: {site_title(last['site'])}, "
                f"row by row. Empty cells are still to come; the range follows the values."
            ),
            rows=Side(
                "token", tuple(map(show_token, last["tokens"])), bold=frozenset(range(*subject))
            ),
            columns=layers(n_layers),
            values=values,
            colours=Colours.over([values], f"{unit}, not final", may_be_negative(unit)),
            value_title=unit,
            outlined=(subject[0], subject[1]),
        )
    )


def _filled(rows: list[Partial], n_layers: int) -> NDArray[np.float64]:
    """Cells (token, layer) of rows that each give all tokens of a layer, or all layers of a token.

    A method that goes by tokens does not run those before the subject: nothing changes there.
    """
    n_layers = max(n_layers, *(_extent(row) for row in rows))
    values = np.full((len(rows[0]["tokens"]), n_layers), np.nan)
    if any("position" in row for row in rows):
        values[: rows[0]["subject"][0]] = 0.0
    for row in rows:
        given = np.array(row["values"], float)
        if "position" in row:
            values[row["position"], : len(given)] = given
        else:
            values[: len(given), row["layer"]] = given
    return values


def _extent(row: Partial) -> int:
    return len(row["values"]) if "position" in row else 1 + int(row["layer"])


def draw_live_curves(partials: Iterable[Partial], kind: str) -> Drawing | None:
    """Draw what was measured so far; None before the first point."""
    curves: dict[str, dict[float, float]] = {}
    units: dict[str, str] = {}
    for point in partials:
        units |= point.get("units", {})
        for name, value in point.items():
            if name.endswith(kind) and isinstance(value, (int, float)):
                curves.setdefault(name, {})[float(point["step"])] = float(value)
    if kind not in KINDS or not curves:
        return None
    order = [f"{word}_{kind}" for word in ORDER]
    names = sorted(curves, key=lambda n: (order.index(n) if n in order else len(order), n))
    return draw_curves(
        kind,
        {_title(name): curves[name] for name in names},
        {_title(name): units.get(name, "") for name in names},
    )


TITLES = {
    "forget_probability": "Target on forget facts",
    "edit_probability": "Edit target on forget facts",
    "retain_probability": "Target on retain facts",
}


def _title(name: str) -> str:
    words = name.replace("_", " ")
    return TITLES.get(name, words[:1].upper() + words[1:])
