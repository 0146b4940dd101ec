"""Arrays of two axes that no figure of its own draws, one heatmap each."""

from collections.abc import Mapping

from app.drawing.ask import choose, is_on
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.figures.probes_heatmap import is_fact_by_format
from worker.contract.result import Axis, Result

CLAIMED = ("roles.", "components.", "grid.", "faithfulness.")
"""Beginnings of the names that figures of their own draw, or that only the download holds."""


def offers(result: Result) -> list[Offer]:
    """One offer per array."""
    return [
        Offer(
            "matrices",
            result.arrays[name].title or name,
            fixed=(("of", name),),
            controls=(Control("transpose", "Exchange rows and columns"),),
        )
        for name in matrices(result)
    ]


def matrices(result: Result) -> list[str]:
    """Names of the arrays that are drawn here."""
    return [
        name
        for name, info in result.arrays.items()
        if len(info.axes) == 2 and not name.startswith(CLAIMED) and not is_fact_by_format(info.axes)
    ]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one array."""
    name = choose(ask, "of", matrices(source.result))
    info, values = source.info(name), source.array(name).astype(float)
    grid = Grid(
        title=info.title or name,
        caption=f"{info.axes[0].name} × {info.axes[1].name}, in {info.unit}.",
        rows=_side(info.axes[0], values.shape[0]),
        columns=_side(info.axes[1], values.shape[1]),
        values=values,
        colours=Colours.over([values], info.unit, info.signed),
        value_title=info.unit,
    )
    return draw_grid(grid, is_on(ask, "transpose"))


def _side(axis: Axis, n: int) -> Side:
    labels = axis.labels or tuple(str(i) for i in range(n))
    return Side(axis.name, labels, numbered=len(set(labels)) < len(labels))
