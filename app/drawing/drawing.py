"""A drawn figure: what plotly draws, what the table shows and what is downloaded, of one source."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.drawing.colours import DIVERGING, LINES, SEQUENTIAL
from app.drawing.numbers import full
from worker.contract.errors import NotFound
from worker.contract.result import ArrayInfo, Result, Table


@dataclass(frozen=True)
class Drawing:
    """One figure. `table` is for reading, `cells` (one row per drawn value) for downloading."""

    title: str
    caption: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    table: Table
    cells: Table
    scales: dict[str, str] = field(default_factory=dict)
    """Colour axis -> `diverging` or `sequential`; the page's script colours them by theme."""
    min_width: int = 0
    """Pixels below which the figure scrolls sideways instead of shrinking."""
    max_width: int = 0
    """Pixels beyond which the figure does not stretch; 0 for no such bound."""
    config: dict[str, Any] = field(default_factory=dict)
    """What this figure changes of plotly's configuration."""

    def figure(self) -> dict[str, Any]:
        """Make the plotly figure as plain JSON: data, layout, config, and what the script needs.

        plotly checks every property here; a misspelt one is an error, not an empty plot.
        """
        import plotly.graph_objects as go  # 0.1 s that no start has to pay

        drawn = go.Figure(self.traces, {**_LAYOUT, **self.layout}).to_plotly_json()
        drawn["layout"].pop("template", None)
        named = {"diverging": DIVERGING, "sequential": SEQUENTIAL}
        themes = {
            theme: {
                "lines": LINES[theme],
                "scales": {axis: named[kind][theme] for axis, kind in self.scales.items()},
            }
            for theme in ("light", "dark")
        }
        return {
            "data": drawn["data"],
            "layout": drawn["layout"],
            "config": {**_CONFIG, **self.config},
            "title": self.title,
            "caption": self.caption,
            "themes": themes,
            "min_width": self.min_width,
            "max_width": self.max_width,
        }

    def rows(self) -> Iterator[Sequence[Any]]:
        """Give a header and every drawn value in full precision, one row each, for a CSV."""
        yield self.cells.columns
        for row in self.cells.rows:
            yield [full(cell) for cell in row]


_LAYOUT: dict[str, Any] = {
    "margin": {"l": 8, "r": 16, "t": 16, "b": 8, "pad": 0},
    "dragmode": False,
    "hovermode": "closest",
    "showlegend": False,
}
_CONFIG: dict[str, Any] = {
    "responsive": True,
    "displaylogo": False,
    "displayModeBar": False,
    "scrollZoom": False,
}


@dataclass(frozen=True)
class Source:
    """A result with its arrays, which are read when they are asked for."""

    result: Result
    open: Callable[[str], BinaryIO]
    """Opens a file that lies beside the result, by name."""

    def info(self, name: str) -> ArrayInfo:
        """What the array's axes and unit are; NotFound where the result has none of this name."""
        if name not in self.result.arrays:
            raise NotFound(
                f"This result has no array {name!r}; it has {sorted(self.result.arrays)}."
            )
        return self.result.arrays[name]

    def array(self, name: str) -> NDArray[Any]:
        """Read one array, from its file or from the result itself."""
        if (values := self.info(name).values) is not None:
            return np.array(values, float)
        return np.asarray(self._file(self.info(name).file)[name])

    def _file(self, file: str) -> Mapping[str, NDArray[Any]]:
        if file not in self._files:
            with self.open(file) as stream, np.load(stream, allow_pickle=False) as arrays:
                self._files[file] = dict(arrays)
        return self._files[file]

    @cached_property
    def _files(self) -> dict[str, Mapping[str, NDArray[Any]]]:
        return {}


@dataclass(frozen=True)
class Control:
    """One choice of a figure: a select of (value, label), or a toggle when there is no list."""

    name: str
    label: str
    choices: tuple[tuple[str, str], ...] = ()
    value: str = ""


@dataclass(frozen=True)
class Offer:
    """A figure that a result has: the figure's name, a title, fixed parameters and choices."""

    figure: str
    title: str
    fixed: tuple[tuple[str, str], ...] = ()
    controls: tuple[Control, ...] = ()
    clickable: bool = False
    """Cells are components that a click takes into the mask or out of it."""
