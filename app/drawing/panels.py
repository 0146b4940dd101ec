"""Heatmaps side by side with common rows, each on one of few colour axes that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.drawing.drawing import Drawing
from app.drawing.heatmap import Colours, Grid, Side, colour_axis, heatmap_trace, side_axis
from app.drawing.words import plotly_text
from app.formats import number
from worker.contract.result import Table

GAP = 0.02
ABOVE = 114
"""Pixels for the colour bars and the panels' headings."""
LETTER = 6.2
"""Pixels that a letter of a slanted label goes down."""
ROW, FEWEST = 18, 4
COLUMN, WIDEST, NARROWEST = 26, 64, 120


@dataclass(frozen=True)
class Panel:
    """One heatmap; panels with the same number of `axis` share their range."""

    grid: Grid
    axis: int = 0


def draw_panels(title: str, caption: str, panels: Sequence[Panel]) -> Drawing:
    """Draw panels in a row; the rows are labelled once, every colour axis has its bar above."""
    rows = panels[0].grid.rows
    width = 1 / len(panels)
    layout: dict[str, Any] = {
        "height": ABOVE + ROW * max(FEWEST, len(rows.labels)) + _below(panels),
        "annotations": [_heading(panel.grid.title, i * width) for i, panel in enumerate(panels)],
        "yaxis": {**side_axis(rows), "range": [len(rows.labels) - 0.5, -0.5], "domain": [0, 1]},
    }
    for i, panel in enumerate(panels):
        layout[f"xaxis{_suffix(i)}"] = {
            **side_axis(panel.grid.columns),
            "domain": [i * width, (i + 1) * width - GAP],
            "title": {"text": ""},
            "tickangle": -60 if any(len(t) > 4 for t in panel.grid.columns.labels) else 0,
        }
    scales = {}
    for axis in sorted({panel.axis for panel in panels}):
        name, colours = _name(axis), next(p.grid.colours for p in panels if p.axis == axis)
        layout[name] = _bar(colours, [i for i, p in enumerate(panels) if p.axis == axis], width)
        scales[name] = colours.kind
    widest = max(len(panel.grid.columns.labels) for panel in panels)
    return Drawing(
        title=title,
        caption=caption,
        traces=[
            heatmap_trace(panel.grid, _name(panel.axis), xaxis=f"x{_suffix(i)}", yaxis="y")
            for i, panel in enumerate(panels)
        ],
        layout=layout,
        table=_table(title, panels),
        cells=_cells(title, panels),
        scales=scales,
        max_width=200 + len(panels) * max(200, WIDEST * widest),
        min_width=150 + len(panels) * max(NARROWEST, COLUMN * widest),
    )


def _below(panels: Sequence[Panel]) -> int:
    """Pixels that the longest label of a column takes; more than the page can shrink is cut."""
    longest = max((len(t) for panel in panels for t in panel.grid.columns.labels), default=0)
    return max(90, round(30 + LETTER * longest)) if longest > 4 else 60


def _suffix(i: int) -> str:
    return "" if i == 0 else str(i + 1)


def _name(axis: int) -> str:
    return f"coloraxis{_suffix(axis)}"


def _bar(colours: Colours, places: Sequence[int], width: float) -> dict[str, Any]:
    length = min(len(places), 2) * width - GAP
    return colour_axis(colours, is_tight=True, len=length, x=places[0] * width, ypad=26)


def _heading(text: str, left: float) -> dict[str, Any]:
    return {
        "text": plotly_text(text, bold=True),
        "x": left,
        "xref": "paper",
        "xanchor": "left",
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": 4,
        "showarrow": False,
    }


def _columns(panels: Sequence[Panel]) -> list[tuple[str, int, int]]:
    """(column's label, panel, column) of every column, equal labels beside each other."""
    labels = dict.fromkeys(label for panel in panels for label in panel.grid.columns.labels)
    return [
        (label, i, panel.grid.columns.labels.index(label))
        for label in labels
        for i, panel in enumerate(panels)
        if label in panel.grid.columns.labels
    ]


def _table(title: str, panels: Sequence[Panel]) -> Table:
    rows: Side = panels[0].grid.rows
    columns = _columns(panels)
    titles = [f"{label}, {panels[i].grid.title}" for label, i, _ in columns]
    cells = [
        (label, *(number(float(panels[i].grid.values[k, j])) for _, i, j in columns))
        for k, label in enumerate(rows.labels)
    ]
    return Table(title=title, columns=(rows.title, *titles), rows=tuple(cells))


def _cells(title: str, panels: Sequence[Panel]) -> Table:
    units = list(dict.fromkeys(panel.grid.value_title for panel in panels))
    rows = [
        (label, column, panel.grid.title, float(panel.grid.values[k, j]))
        + ((panel.grid.value_title,) if len(units) > 1 else ())
        for panel in panels
        for k, label in enumerate(panel.grid.rows.labels)
        for j, column in enumerate(panel.grid.columns.labels)
    ]
    first = panels[0].grid
    value = ("value", "unit") if len(units) > 1 else (units[0],)
    columns = (first.rows.title, first.columns.title, "panel", *value)
    return Table(title=title, columns=columns, rows=tuple(rows))
