"""Horizontal bars under one another: named values of one or several series."""

from collections.abc import Sequence
from typing import Any

from app.drawing.drawing import Drawing
from app.drawing.words import plotly_text
from app.formats import number
from worker.contract.result import Table

ROW, AROUND = 22, 90
"""Pixels of one bar, and of what stands around them."""


def draw_bars(
    title: str,
    caption: str,
    labels: Sequence[str],
    series: dict[str, Sequence[float | None]],
    unit: str,
    cells: Table,
    span: tuple[float, float] | None = None,
) -> Drawing:
    """Draw a bar for every label and series; `cells` are the same numbers, one row each."""
    shown = [plotly_text(label) for label in labels]
    hover = f"%{{customdata}}<br>{plotly_text(unit)} %{{x:.3g}}<extra></extra>"
    axis: dict[str, Any] = {"title": {"text": plotly_text(unit)}, "fixedrange": True}
    return Drawing(
        title=title,
        caption=caption,
        traces=[
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": list(range(len(labels))),
                "x": list(values),
                "customdata": shown,
                "hovertemplate": hover,
            }
            for name, values in series.items()
        ],
        layout={
            "xaxis": axis | ({"range": list(span)} if span else {}),
            "yaxis": {
                "tickmode": "array",
                "tickvals": list(range(len(labels))),
                "ticktext": shown,
                "range": [len(labels) - 0.5, -0.5],
                "automargin": True,
                "fixedrange": True,
            },
            "barmode": "group",
            "height": AROUND + ROW * len(labels),
            "showlegend": len(series) > 1,
        },
        table=Table(title=title, columns=cells.columns, rows=tuple(map(_readable, cells.rows))),
        cells=cells,
    )


def _readable(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(number(cell) if isinstance(cell, float) else cell for cell in row)
