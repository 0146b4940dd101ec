"""Facts × formats: before, after and the difference, side by side on locked ranges.

Before and after share one range from 0 to 1, the difference has a symmetric one from −1 to 1, the
same for every run, so that any two of these figures can be compared by eye.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.figures._ask import choose
from app.figures._drawing import Control, Drawing, Offer, Source
from app.figures._heatmap import Colours, Grid, Side, colour_axis, heatmap_trace, side_axis
from app.figures._words import plotly_text
from app.formats import number
from worker.contract.result import Result, Table

SETS = {"forget": "Forget facts", "retain": "Retain facts", "all": "All facts"}
ROW, FEWEST = 18, 4
PROBABILITY = Colours("probability", False, 0.0, 1.0)
DIFFERENCE = Colours("Δ probability", True, -1.0, 1.0)


def offers(result: Result) -> list[Offer]:
    """One offer per evaluation that asked facts in formats."""
    found: dict[str, list[str]] = {}
    for name in families(result):
        found.setdefault(name.partition(".")[0], []).append(name)
    return [
        Offer(
            "probes_heatmap",
            f"Facts × formats: {_title(result, evaluation)}",
            fixed=(("evaluation", evaluation),),
            controls=(
                Control("of", "Answer", tuple((n, _words(n)) for n in names), names[0]),
                Control("facts", "Facts", tuple(SETS.items()), "forget"),
            ),
        )
        for evaluation, names in found.items()
    ]


def families(result: Result) -> list[str]:
    """Names, without their state, of the arrays (fact, format)."""
    return [
        name.removesuffix(".before")
        for name, info in result.arrays.items()
        if name.endswith(".before") and is_fact_by_format(info.axes)
    ]


def is_fact_by_format(axes: tuple[Any, ...]) -> bool:
    """Whether an array is drawn here."""
    return tuple(axis.name for axis in axes) == ("fact", "format")


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one answer's probabilities for the forget facts, the retain facts or all."""
    evaluation = ask.get("evaluation", "")
    known = [n for n in families(source.result) if not evaluation or n.startswith(f"{evaluation}.")]
    name = choose(ask, "of", known)
    which = choose(ask, "facts", list(SETS))
    labels, rows = _facts(source.result, name, which)
    panels = {"before": source.array(f"{name}.before")[rows].astype(float)}
    if f"{name}.after" in source.result.arrays:
        panels["after"] = source.array(f"{name}.after")[rows].astype(float)
        panels["difference"] = panels["after"] - panels["before"]
    formats = source.info(f"{name}.before").axes[1].labels or ()
    caption = (
        f"{_words(name)}: probability of the whole answer, teacher-forced (in multiple choice, of "
        f"its letter among the letters), one row per fact. Before and after share one range, 0 to "
        f"1; the difference runs from −1 to 1. An empty cell was not asked."
    )
    return _draw_panels(f"{_words(name)}, {SETS[which].lower()}", caption, labels, formats, panels)


def _facts(result: Result, name: str, which: str) -> tuple[tuple[str, ...], list[int]]:
    ids = result.arrays[f"{name}.before"].axes[0].labels or ()
    found = result.evaluations.get(name.partition(".")[0])
    sets, subjects = {}, {}
    if found and found.facts and {"fact", "set", "subject"} <= set(found.facts.columns):
        at = {column: i for i, column in enumerate(found.facts.columns)}
        for row in found.facts.rows:
            sets[row[at["fact"]]] = row[at["set"]]
            subjects[row[at["fact"]]] = row[at["subject"]]
    rows = [i for i, fact in enumerate(ids) if which == "all" or sets.get(fact, which) == which]
    return tuple(str(subjects.get(ids[i], ids[i])) for i in rows), rows


def _draw_panels(
    title: str,
    caption: str,
    labels: tuple[str, ...],
    formats: tuple[str, ...],
    panels: dict[str, NDArray[np.float64]],
) -> Drawing:
    width = 1 / len(panels)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": 250 + ROW * max(FEWEST, len(labels)),
        "annotations": [],
        "coloraxis": colour_axis(PROBABILITY, len=min(1.0, 2 * width) - 0.03, y=1, ypad=26),
        "yaxis": {**_rows(labels), "domain": [0, 1]},
    }
    scales = {"coloraxis": "sequential"}
    for i, (panel, values) in enumerate(panels.items()):
        colours = DIFFERENCE if panel == "difference" else PROBABILITY
        axis = "coloraxis2" if panel == "difference" else "coloraxis"
        grid = Grid(
            panel, "", Side("fact", labels, numbered=False),
            Side("format", formats, numbered=False),
            values, colours, panel,
        )  # fmt: skip
        number_of = "" if i == 0 else str(i + 1)
        traces.append(heatmap_trace(grid, axis, xaxis=f"x{number_of}", yaxis="y"))
        left = i * width
        layout[f"xaxis{number_of}"] = {
            **side_axis(grid.columns),
            "domain": [left, left + width - 0.02],
            "title": {"text": ""},
            "tickangle": -60,
        }
        layout["annotations"].append(_heading(panel, left))
    if "difference" in panels:
        scales["coloraxis2"] = "diverging"
        layout["coloraxis2"] = colour_axis(DIFFERENCE, len=width - 0.02, x=2 * width, ypad=26)
    return Drawing(
        title=title,
        caption=caption,
        traces=traces,
        layout=layout,
        table=_table(title, labels, formats, panels),
        cells=_cells(title, labels, formats, panels),
        scales=scales,
        min_width=150 + len(panels) * max(120, 26 * len(formats)),
    )


def _rows(labels: tuple[str, ...]) -> dict[str, Any]:
    axis = side_axis(Side("", labels, numbered=False))
    return {**axis, "range": [len(labels) - 0.5, -0.5]}


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


def _table(
    title: str,
    labels: tuple[str, ...],
    formats: tuple[str, ...],
    panels: dict[str, NDArray[np.float64]],
) -> Table:
    columns = ["fact", *(f"{form}, {panel}" for form in formats for panel in panels)]
    rows = [
        (label, *(number(float(v[i, j])) for j in range(len(formats)) for v in panels.values()))
        for i, label in enumerate(labels)
    ]
    return Table(title=title, columns=tuple(columns), rows=tuple(rows))


def _cells(
    title: str,
    labels: tuple[str, ...],
    formats: tuple[str, ...],
    panels: dict[str, NDArray[np.float64]],
) -> Table:
    rows = [
        (label, form, *(float(values[i, j]) for values in panels.values()))
        for i, label in enumerate(labels)
        for j, form in enumerate(formats)
    ]
    return Table(title=title, columns=("fact", "format", *panels), rows=tuple(rows))


def _title(result: Result, evaluation: str) -> str:
    found = result.evaluations.get(evaluation)
    return found.title if found else evaluation


def _words(name: str) -> str:
    words = name.rpartition(".")[2].replace("_", " ")
    return words[:1].upper() + words[1:]
