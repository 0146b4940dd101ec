"""Horizontal bars under one another: named values of one or several series."""

from collections.abc import Sequence
from typing import Any

from app.drawing.drawing import Drawing
from app.drawing.words import plotly_text
from app.formats import number
from worker.contract.result import Table

ROW, AROUND = 22, 90
LONG = 20
"""Characters of an axis' title that a small screen has in one line."""
"""Pixels of one bar, and of what stands around them."""


def draw_bars(
    title: str,
    caption: str,
    labels: Sequence[str],
    series: dict[str, Sequence[float | None]],
    unit: str,
    cells: Table,
    span: tuple[float, float] | None = None,
    y_title: str = "",
) -> Drawing:
    """Draw a bar for every label and series; `cells` are the same numbers, one row each."""
    shown = [plotly_text(label) for label in labels]
    hover = f"%{{customdata}}<br>{plotly_text(unit)} %{{x:.3g}}<extra></extra>"
    axis: dict[str, Any] = {
        "title": {"text": "<br>".join(map(plotly_text, _in_lines(unit)))},
        "automargin": True,
        "fixedrange": True,
    }
    return Drawing(
        title=title,
        caption=caption,
        traces=[
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": [row for row, value in enumerate(values) if value is not None],
                "x": [value for value in values if value is not None],
                "customdata": [
                    words for words, value in zip(shown, values, strict=True) if value is not None
                ],
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
                **({"title": {"text": plotly_text(y_title), "standoff": 12}} if y_title else {}),
            },
            "barmode": "group" if _share_rows(series) else "overlay",
            "height": AROUND + ROW * len(labels),
            "showlegend": len(series) > 1,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
        table=Table(title=title, columns=cells.columns, rows=tuple(map(_readable, cells.rows))),
        cells=cells,
    )


def _in_lines(title: str) -> list[str]:
    """An axis' title, a long one in two lines: beside long labels a small screen has no more."""
    spaces = [i for i, one in enumerate(title) if one == " "]
    if len(title) <= LONG or not spaces:
        return [title]
    middle = min(spaces, key=lambda i: abs(i - len(title) / 2))
    return [title[:middle], title[middle + 1 :]]


def _share_rows(series: dict[str, Sequence[float | None]]) -> bool:
    """Whether two series have a bar in one row; only then has each less than the row's height."""
    rows = zip(*series.values(), strict=True)
    return any(sum(value is not None for value in row) > 1 for row in rows)


def _readable(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(number(cell) if isinstance(cell, float) else cell for cell in row)
