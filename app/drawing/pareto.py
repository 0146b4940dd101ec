"""A study's groups as points between two metrics."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.drawing.colours import MARKERS
from app.drawing.drawing import Drawing
from app.drawing.numbers import quantize
from app.drawing.words import plotly_text
from app.formats import number
from worker.contract.base import unknown
from worker.contract.result import Estimate, Table
from worker.contract.study import ReportMetric, StudyReport

X, Y = ("retain", "choice_retain"), ("choice_edit", "edit", "choice_forget", "forget")
"""Short names that the axes show first, in this order."""
SMALLEST, LARGEST = 8.0, 18.0
"""Pixels across a mark."""
NARROWEST = 0.2
"""Least width of an axis of probabilities."""


def metric_choices(report: StudyReport, preferred: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Short names and titles of the metrics, a preferred one first."""
    shorts = [metric.short for metric in report.metrics]
    first = next((short for short in preferred if short in shorts), shorts[0])
    titles = {metric.short: metric.title for metric in report.metrics}
    return tuple((short, titles[short]) for short in sorted(shorts, key=lambda s: s != first))


def index_of(report: StudyReport, short: str, field: str) -> int:
    """The place of a metric among the report's; UserError for an unknown one."""
    shorts = [metric.short for metric in report.metrics]
    if short not in shorts:
        raise unknown("metric", short, shorts, field=field)
    return shorts.index(short)


def draw_pareto(report: StudyReport, x: str, y: str) -> Drawing:
    """Draw every group at its means with both intervals, and the line of those none beats."""
    at = index_of(report, x, "x"), index_of(report, y, "y")
    axes = report.metrics[at[0]], report.metrics[at[1]]
    sizes = _sizes([group.parameters for group in report.groups])
    points = [
        (group.title, row[at[0]], row[at[1]], size)
        for group, row, size in zip(report.groups, report.estimates, sizes, strict=True)
    ]
    drawn = [(t, a, b, size) for t, a, b, size in points if a is not None and b is not None]
    shown = [(title, a, b) for title, a, b, _ in drawn]
    best = front([(a.mean, b.mean) for _, a, b in shown], axes)
    traces = [_point(i, *point, axes) for i, point in enumerate(drawn)]
    if len(best) > 1:
        traces.insert(0, _line([(shown[i][1].mean, shown[i][2].mean) for i in best]))
    names = ", ".join(shown[i][0] for i in best)
    rows = tuple(_row(title, a, b, i in best) for i, (title, a, b) in enumerate(shown))
    table = Table(title="Pareto", columns=_columns(axes), rows=rows)
    return Drawing(
        title=f"{axes[1].title} against {axes[0].title}",
        caption=(
            f"Means over {len(report.seeds)} seed{'s' if len(report.seeds) != 1 else ''} with "
            f"95 % bootstrap intervals. {_wanted(axes[1], 'Up', 'Down')} and to the "
            f"{_wanted(axes[0], 'right', 'left')} is better; a larger mark is a mask of more "
            f"parameters. No other group is better in both than: {names}."
        ),
        traces=traces,
        layout={
            "xaxis": _axis(axes[0], [a for _, a, _ in shown]),
            "yaxis": _axis(axes[1], [b for _, _, b in shown]),
            "height": 440,
            "showlegend": True,
            "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        },
        table=Table(
            title=table.title,
            columns=table.columns,
            rows=tuple(tuple(number(c) for c in row) for row in rows),
        ),
        cells=table,
        min_width=320,
        max_width=860,
    )


def front(points: list[tuple[float, float]], axes: tuple[ReportMetric, ReportMetric]) -> list[int]:
    """The points that no other beats in both metrics, from the best in x to the best in y."""
    signs = [-1 if metric.better == "lower" else 1 for metric in axes]
    turned = [(signs[0] * a, signs[1] * b) for a, b in points]
    kept = [
        i
        for i, (a, b) in enumerate(turned)
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in turned)
    ]
    return sorted(kept, key=lambda i: (-turned[i][0], turned[i][1]))


def _columns(axes: tuple[ReportMetric, ReportMetric]) -> tuple[str, ...]:
    parts = [f"{metric.title}{word}" for metric in axes for word in ("", " (low)", " (high)")]
    return ("group", *parts, "on the front")


def _row(title: str, a: Estimate, b: Estimate, is_best: bool) -> tuple[Any, ...]:
    return (title, a.mean, *a.bounds, b.mean, *b.bounds, "yes" if is_best else "no")


def _sizes(parameters: Sequence[float | None]) -> list[float]:
    """Marks whose area grows with the parameters; the smallest stays visible."""
    most = max((p for p in parameters if p), default=1.0)
    return [SMALLEST + (LARGEST - SMALLEST) * math.sqrt((p or 0.0) / most) for p in parameters]


def _point(
    i: int,
    title: str,
    a: Estimate,
    b: Estimate,
    size: float,
    axes: tuple[ReportMetric, ReportMetric],
) -> dict[str, Any]:
    hover = "".join(
        f"<br>{plotly_text(metric.title)} <b>{e.mean:.3f}</b>"
        + (f" [{e.low:.3f}, {e.high:.3f}]" if e.n > 1 else "")
        for metric, e in zip(axes, (a, b), strict=True)
    )
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plotly_text(title),
        "x": [a.mean],
        "y": [b.mean],
        "marker": {"symbol": MARKERS[i % len(MARKERS)], "size": round(size, 1)},
        "error_x": _bar(a),
        "error_y": _bar(b),
        "hovertemplate": f"{plotly_text(title)}{hover}<extra></extra>",
    }


def _bar(found: Estimate) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": quantize(np.array([found.high - found.mean])),
        "arrayminus": quantize(np.array([found.mean - found.low])),
        "thickness": 1.2,
        "width": 3,
    }


def _line(points: list[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "none is better in both",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"dash": "dot", "width": 1.5},
        "hoverinfo": "skip",
    }


def _axis(metric: ReportMetric, shown: Sequence[Estimate]) -> dict[str, Any]:
    """An axis that is never so narrow that differences of no account look large."""
    axis: dict[str, Any] = {
        "title": {"text": plotly_text(metric.title), "standoff": 8},
        "automargin": True,
        "fixedrange": True,
    }
    low, high = min((e.low for e in shown), default=0), max((e.high for e in shown), default=1)
    if high - low < NARROWEST and low >= -0.001 and high <= 1.001:
        middle = min(max((low + high) / 2, NARROWEST / 2), 1 - NARROWEST / 2)
        margin = NARROWEST * 0.6
        axis["range"] = [round(middle - margin, 4), round(middle + margin, 4)]
    return axis


def _wanted(metric: ReportMetric, high: str, low: str) -> str:
    return low if metric.better == "lower" else high
