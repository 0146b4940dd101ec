"""Heatmaps on numeric axes: one grid feeds the picture, the table and the download."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.drawing import Drawing
from app.drawing.numbers import largest, quantize
from app.drawing.words import plotly_text
from app.formats import number
from worker.contract.result import Table
from worker.contract.units import SHARE_OF_DIFFERENCE

ROW_HEIGHT = 22
COLUMN_WIDTH = 24
WIDEST_COLUMN = 84
CROWDED = 36
"""Entries of one side from which they are drawn smaller: models of 48 and 80 layers, 40 heads."""
SMALL_ROW, SMALL_COLUMN, SHORT_COLUMN = 12, 10, 16
"""Pixels of a crowded row or column whose labels are numbers, and of a column of short words."""
SHORT_WORD = 4
"""Letters."""
APART = {"row": 14, "column": 20}
"""Pixels from one number beside a crowded side to the next."""
CROWDED_BAR = 380
"""Pixels of the colour bar above crowded columns: a telephone shows it whole."""
AROUND, LINE = 112, 18
"""Pixels of colour bar and labels, and of a second line of the bar's title."""
LETTER = 6.2
"""Pixels that a letter of a turned label goes down."""
LONG_LABEL = 12
"""Letters of a row's label from which a telephone leaves the colour bar's title two lines."""


@dataclass(frozen=True)
class Side:
    """One side of a grid: what runs along it and the label of each entry."""

    title: str
    labels: tuple[str, ...]
    bold: frozenset[int] = frozenset()
    numbered: bool = True
    """Labels may repeat, so that the download gives each entry's index beside its label."""
    upright: bool = False
    """Labels are names, too long to lie side by side under columns: they stand there."""


@dataclass(frozen=True)
class Colours:
    """The range that a grid is drawn on."""

    unit: str
    signed: bool
    low: float
    high: float

    @property
    def kind(self) -> str:
        return "diverging" if self.signed else "sequential"

    @classmethod
    def over(
        cls, arrays: list[NDArray[Any]], unit: str, signed: bool, least: float = 0.0
    ) -> "Colours":
        """The range that holds all arrays: symmetric about 0 if signed, from 0 up if not.

        `least` is the smallest extent that is drawn (1 for probabilities that fill their range).
        """
        extent = max(largest(arrays), least) or 1.0
        return cls(unit, signed, -extent if signed else 0.0, extent)


@dataclass(frozen=True)
class Grid:
    """Values (row, column) with the words around them.

    The cells' components are `names`, or follow `name_format` (`blocks.{column}.mlp`) by the
    indices of row and column. `normalized` values are shares of the metric's difference, shown on
    hover and downloaded too.
    """

    title: str
    caption: str
    rows: Side
    columns: Side
    values: NDArray[Any]
    colours: Colours
    value_title: str
    names: NDArray[Any] | None = None
    name_format: str = ""
    normalized: NDArray[Any] | None = None
    promise: str = ""
    """What a click on a cell does, said on hover."""
    outlined: tuple[int, int] | None = None
    """Rows from, up to and without, that are outlined: the subject's."""

    def transposed(self) -> "Grid":
        """The same cells with rows and columns exchanged."""
        return replace(
            self,
            rows=self.columns,
            columns=self.rows,
            values=self.values.T,
            names=None if self.names is None else self.names.T,
            name_format=self.name_format.format(row="{column}", column="{row}"),
            normalized=None if self.normalized is None else self.normalized.T,
            outlined=None,
        )

    def name(self, row: int, column: int) -> str:
        """The component of a cell."""
        if self.names is not None:
            return str(self.names[row, column])
        return self.name_format.format(row=row, column=column)

    @property
    def is_named(self) -> bool:
        """Whether cells are components."""
        return self.names is not None or bool(self.name_format)


def draw_grid(grid: Grid, transpose: bool = False) -> Drawing:
    """Draw a grid; the table keeps the untransposed order, the download has one row per cell."""
    shown = grid.transposed() if transpose else grid
    n_rows, n_columns = shown.values.shape
    wide = 120 + column_width(shown.columns) * n_columns
    is_tight = max(map(len, shown.rows.labels), default=0) > LONG_LABEL
    stands = transpose or shown.columns.upright
    turned = max(map(len, shown.columns.labels), default=0) * LETTER if stands else 0
    return Drawing(
        title=grid.title,
        caption=grid.caption,
        traces=[heatmap_trace(shown)],
        layout={
            "xaxis": side_axis(shown.columns, _apart(shown.columns, "column"))
            | ({"tickangle": 90} if shown.columns.upright else {}),
            "yaxis": {
                **side_axis(shown.rows, _apart(shown.rows, "row")),
                "range": [n_rows - 0.5, -0.5],
            },
            "coloraxis": colour_axis(grid.colours, is_tight, **_bar(n_columns, wide)),
            "shapes": _outline(grid, transpose),
            "height": AROUND + LINE * is_tight + round(turned) + row_height(shown.rows) * n_rows,
        },
        table=grid_table(grid),
        cells=grid_cells(grid),
        scales={"coloraxis": grid.colours.kind},
        min_width=wide,
        max_width=max(480, 160 + WIDEST_COLUMN * n_columns),
    )


def heatmap_trace(grid: Grid, coloraxis: str = "coloraxis", **more: Any) -> dict[str, Any]:
    """One heatmap trace; cells without a value stay empty."""
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": list(range(grid.values.shape[1])),
        "y": list(range(grid.values.shape[0])),
        "z": quantize(grid.values, grid.colours.high - grid.colours.low),
        "coloraxis": coloraxis,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": _hover(grid),
    }
    if grid.names is not None:
        trace["customdata"] = grid.names.tolist()
    if grid.normalized is not None:
        trace["text"] = quantize(grid.normalized, 2.0)
    return trace | more


def row_height(side: Side) -> int:
    """Pixels of one row; words need their line's height however many they are."""
    return SMALL_ROW if _is_crowded(side) and _is_counted(side) else ROW_HEIGHT


def column_width(side: Side) -> int:
    """Least pixels of one column."""
    if not _is_crowded(side) or max(map(len, side.labels)) > SHORT_WORD:
        return COLUMN_WIDTH
    return SMALL_COLUMN if _is_counted(side) else SHORT_COLUMN


def _is_crowded(side: Side) -> bool:
    return len(side.labels) > CROWDED


def _is_counted(side: Side) -> bool:
    return all(label.isdigit() for label in side.labels)


def _apart(side: Side, along: str) -> int:
    """Entries from one label to the next: 1, 2, 5 or 10 where numbers would touch each other."""
    if not _is_crowded(side) or not _is_counted(side):
        return 1
    pixels = SMALL_ROW if along == "row" else SMALL_COLUMN
    return next(step for step in (1, 2, 5, 10) if step * pixels >= APART[along])


def _bar(n_columns: int, wide: int) -> dict[str, Any]:
    return {"len": round(min(1.0, CROWDED_BAR / wide), 3)} if n_columns > CROWDED else {}


def side_axis(side: Side, apart: int = 1) -> dict[str, Any]:
    """A numeric axis whose ticks are words: a category axis would merge equal labels."""
    step = max(apart, len(side.labels) // 80)
    shown = range(0, len(side.labels), step)
    return {
        "title": {"text": plotly_text(side.title), "standoff": 8},
        "type": "linear",
        "tickmode": "array",
        "tickvals": list(shown),
        "ticktext": [plotly_text(side.labels[i], i in side.bold) for i in shown],
        "range": [-0.5, len(side.labels) - 0.5],
        "automargin": True,
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
    }


def colour_axis(colours: Colours, is_tight: bool = False, **bar: Any) -> dict[str, Any]:
    """A colour axis with unit and sign as the bar's title, in two lines where it is tight."""
    sign = f"{'<br>' if is_tight else ', '}− blue, + orange" if colours.signed else ""
    axis: dict[str, Any] = {
        "cmin": colours.low,
        "cmax": colours.high,
        "colorbar": {
            "title": {"text": f"{plotly_text(colours.unit)}{sign}", "side": "top"},
            "orientation": "h",
            "thickness": 10,
            "len": 1,
            "x": 0,
            "xanchor": "left",
            "xpad": 0,
            # From 1 up plotly moves the titles of the axes by half the bar's height.
            "y": 0.9999,
            "yanchor": "bottom",
            "ypad": 6,
            "nticks": 5,
            "outlinewidth": 0,
            **bar,
        },
    }
    if colours.signed:
        axis["cmid"] = 0
    return axis


def grid_table(grid: Grid) -> Table:
    """The grid as a reader's table, three significant figures."""
    rows = tuple(
        (label, *(number(float(v)) for v in values))
        for label, values in zip(grid.rows.labels, grid.values, strict=True)
    )
    corner = f"{grid.rows.title} \\ {grid.columns.title}"
    return Table(title=grid.title, columns=(corner, *grid.columns.labels), rows=rows)


def grid_cells(grid: Grid) -> Table:
    """The grid as one row per cell."""
    columns = [*_head(grid.rows), *_head(grid.columns)]
    columns += ["component"] if grid.is_named else []
    columns += [grid.value_title] + ([SHARE_OF_DIFFERENCE] if grid.normalized is not None else [])
    rows: list[tuple[Any, ...]] = []
    for i, j in np.ndindex(grid.values.shape):
        row = [*_entry(grid.rows, i), *_entry(grid.columns, j)]
        row += [grid.name(i, j)] if grid.is_named else []
        row += [float(grid.values[i, j])]
        row += [float(grid.normalized[i, j])] if grid.normalized is not None else []
        rows.append(tuple(row))
    return Table(title=grid.title, columns=tuple(columns), rows=tuple(rows))


def _head(side: Side) -> list[str]:
    return [f"{side.title} index", side.title] if side.numbered else [side.title]


def _entry(side: Side, i: int) -> list[Any]:
    return [i, side.labels[i]] if side.numbered else [side.labels[i]]


def _hover(grid: Grid) -> str:
    lines = [_hovered("y", grid.rows), _hovered("x", grid.columns)]
    if grid.names is not None:
        lines.append("%{customdata}")
    elif grid.name_format:
        lines.append(grid.name_format.format(row="%{y:d}", column="%{x:d}"))
    lines.append(f"<b>{plotly_text(grid.value_title)} %{{z:.3g}}</b>")
    if grid.normalized is not None:
        lines.append(f"{SHARE_OF_DIFFERENCE} %{{text:.3g}}")
    if grid.promise:
        lines.append(f"<i>{plotly_text(grid.promise)}</i>")
    return "<br>".join(lines) + "<extra></extra>"


def _hovered(axis: str, side: Side) -> str:
    number = f" %{{{axis}:d}}" if side.numbered else ""
    return f"{plotly_text(side.title)}{number} %{{{axis}}}".rstrip()


def _outline(grid: Grid, transpose: bool) -> list[dict[str, Any]]:
    if grid.outlined is None:
        return []
    first, end = grid.outlined
    along = {"x0": -0.5, "x1": grid.values.shape[1] - 0.5, "y0": first - 0.5, "y1": end - 0.5}
    if transpose:
        along = {"y0": -0.5, "y1": along["x1"], "x0": along["y0"], "x1": along["y1"]}
    return [
        {
            "type": "rect",
            "name": "subject",
            "line": {"width": 1.5, "dash": "dot"},
            "xref": "x",
            "yref": "y",
            **along,
        }
    ]
