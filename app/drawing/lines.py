"""Lines over a numeric axis, and bars with intervals: one set of series feeds everything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.colours import DASHES, MARKERS
from app.drawing.drawing import Drawing
from app.drawing.numbers import quantize
from app.drawing.words import plotly_text
from app.formats import number
from worker.contract.result import Table


@dataclass(frozen=True)
class Series:
    """One line or one group of bars; `low` and `high` bound its interval."""

    name: str
    values: NDArray[Any]
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None


@dataclass(frozen=True)
class Chart:
    """Series over the same places on the x axis, in one unit."""

    title: str
    caption: str
    x_title: str
    x: tuple[float, ...]
    y_title: str
    series: tuple[Series, ...]
    labels: tuple[str, ...] | None = None
    """Words for the places on the x axis, where these are no numbers."""
    y_range: tuple[float, float] | None = None
    marked: tuple[tuple[float, float], ...] = ()
    """Stretches of the x axis that are shaded, for example the layers that a rule chose."""


def draw_lines(chart: Chart) -> Drawing:
    """Draw one line per series; a single point is drawn as a marker."""
    traces = []
    for i, series in enumerate(chart.series):
        few = len(chart.x) <= 60
        trace = {
            "type": "scatter",
            "name": plotly_text(series.name),
            "mode": "lines+markers" if few else "lines",
            "x": list(chart.x),
            "y": quantize(series.values),
            "line": {"dash": DASHES[i % len(DASHES)], "width": 2},
            "marker": {"symbol": MARKERS[i % len(MARKERS)], "size": 6},
            "hovertemplate": _hover(chart, series),
            **_interval(series, "y"),
        }
        traces.append(trace)
    return _chart(chart, traces)


def draw_bars(chart: Chart) -> Drawing:
    """Draw one group of upright bars per series."""
    traces = []
    for i, series in enumerate(chart.series):
        pattern = {"shape": ("", "/", ".", "x")[i % 4], "fillmode": "replace"} if i else {}
        trace = {
            "type": "bar",
            "name": plotly_text(series.name),
            "x": list(chart.x),
            "y": quantize(series.values),
            "marker": {"pattern": pattern},
            "hovertemplate": _hover(chart, series),
            **_interval(series, "y"),
        }
        traces.append(trace)
    drawing = _chart(chart, traces)
    drawing.layout["barmode"] = "group"
    return drawing


def chart_table(chart: Chart) -> Table:
    """The chart as a reader's table: a row per place, three significant figures."""
    columns, rows = _columns(chart)
    shown = [(row[0], *(number(v) for v in row[1:])) for row in rows]
    return Table(title=chart.title, columns=columns, rows=tuple(shown))


def chart_cells(chart: Chart) -> Table:
    """The chart in full precision."""
    columns, rows = _columns(chart)
    return Table(title=chart.title, columns=columns, rows=tuple(rows))


def _columns(chart: Chart) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    titles = [chart.x_title]
    values: list[list[Any]] = [list(chart.labels or (_whole(x) for x in chart.x))]
    for series in chart.series:
        titles.append(series.name)
        values.append([float(v) for v in series.values])
        for word, bound in (("low", series.low), ("high", series.high)):
            if bound is not None:
                titles.append(f"{series.name} ({word})")
                values.append([float(v) for v in bound])
    return tuple(titles), list(zip(*values, strict=True))


def _whole(x: float) -> float | int:
    return int(x) if float(x).is_integer() else x


def _chart(chart: Chart, traces: list[dict[str, Any]]) -> Drawing:
    y_axis: dict[str, Any] = {
        "title": {"text": plotly_text(chart.y_title), "standoff": 8},
        "automargin": True,
        "fixedrange": True,
    }
    if chart.y_range:
        y_axis["range"] = list(chart.y_range)
    return Drawing(
        title=chart.title,
        caption=chart.caption,
        traces=traces,
        layout={
            "xaxis": _x_axis(chart),
            "yaxis": y_axis,
            # On a telephone every series has a line of the legend to itself.
            "height": 360 + 19 * max(0, len(chart.series) - 3),
            "showlegend": len(chart.series) > 1,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "shapes": [_mark(low, high) for low, high in chart.marked],
        },
        table=chart_table(chart),
        cells=chart_cells(chart),
        min_width=max(280, 28 * len(chart.labels)) if chart.labels else 280,
    )


def _x_axis(chart: Chart) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "title": {"text": plotly_text(chart.x_title), "standoff": 8},
        "automargin": True,
        "fixedrange": True,
    }
    if chart.labels is not None:
        words = [plotly_text(label) for label in chart.labels]
        axis |= {"tickmode": "array", "tickvals": list(chart.x), "ticktext": words}
    elif all(float(x).is_integer() for x in chart.x):
        axis |= {"tickformat": "d"} | ({"dtick": 1} if _is_short(chart.x) else {})
    return axis


def _is_short(places: Sequence[float]) -> bool:
    """Whether every whole number of this axis has room for a tick of its own."""
    return not places or max(places) - min(places) <= 12


def _interval(series: Series, axis: str) -> dict[str, Any]:
    if series.low is None or series.high is None:
        return {}
    return {
        f"error_{axis}": {
            "type": "data",
            "symmetric": False,
            "array": quantize(np.asarray(series.high) - series.values),
            "arrayminus": quantize(series.values - np.asarray(series.low)),
            "thickness": 1.5,
            "width": 4,
        }
    }


def _hover(chart: Chart, series: Series) -> str:
    return (
        f"{plotly_text(series.name)}<br>{plotly_text(chart.x_title)} %{{x}}"
        f"<br><b>{plotly_text(chart.y_title)} %{{y:.3g}}</b><extra></extra>"
    )


def _mark(low: float, high: float) -> dict[str, Any]:
    return {
        "type": "rect",
        "name": "marked",
        "layer": "below",
        "line": {"width": 0},
        "xref": "x",
        "yref": "paper",
        "x0": low - 0.5,
        "x1": high + 0.5,
        "y0": 0,
        "y1": 1,
    }
