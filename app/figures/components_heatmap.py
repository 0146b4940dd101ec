"""Components: layers down, MLP and attention as columns of their own, then the heads."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.ask import is_on
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.sites import layers, unit_of
from worker.contract.components import parse_component
from worker.contract.result import Result


def offers(result: Result) -> list[Offer]:
    """One offer where the result scores components."""
    if "components" not in result.arrays or result.attribution is None:
        return []
    controls = (Control("transpose", "Layers across"),)
    title = title_of(result.arrays["components"].axes[0].labels or ())
    return [Offer("components_heatmap", title, controls=controls, clickable=True)]


def title_of(names: Iterable[str]) -> str:
    """What a heatmap of these components is called: heads are named only where there are some."""
    return f"Components: layer × {'head' if _has_heads(names) else 'part'}"


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the mean score of every component."""
    attribution = source.result.attribution
    info = source.info("components")
    assert attribution is not None
    scores = dict(zip(info.axes[0].labels or (), source.array("components").tolist(), strict=True))
    columns, names, values = by_layer(scores)
    beside = ", the attention's heads stand beside them" if _has_heads(scores) else ""
    caption = (
        f"{attribution.direction} Means over {len(attribution.facts)} facts. A row is a layer; its "
        f"MLP and its whole attention have columns of their own{beside}. An empty cell "
        f"was not measured."
    )
    grid = Grid(
        title=title_of(scores),
        caption=caption,
        rows=layers(values.shape[0]),
        columns=Side("component", columns, numbered=False),
        values=values,
        colours=Colours.over([values], unit_of(info, attribution), info.signed),
        value_title=unit_of(info, attribution),
        names=names,
        promise="Click: into the mask, or out of it" if is_on(ask, "editing") else "",
    )
    turned = is_on(ask, "transpose")
    drawing = draw_grid(grid, turned)
    drawing.layout["shapes"] += outlines(names, set(ask.get("mask", "").split(",")), turned)
    return drawing


def _has_heads(names: Iterable[str]) -> bool:
    return any(parse_component(name).head is not None for name in names)


def outlines(names: NDArray[Any], mask: set[str], transpose: bool) -> list[dict[str, Any]]:
    """Frames around the cells of a mask's components."""
    shapes = []
    for place, name in np.ndenumerate(names):
        if name in mask:
            y, x = reversed(place) if transpose else place
            frame = {"x0": x - 0.48, "x1": x + 0.48, "y0": y - 0.46, "y1": y + 0.46}
            shapes.append({"type": "rect", "name": f"mask {name}", "line": {"width": 2.5}, **frame})
    return shapes


def by_layer(
    scores: Mapping[str, float],
) -> tuple[tuple[str, ...], NDArray[Any], NDArray[np.float64]]:
    """Lay components out as (column titles, names (layer, column), scores (layer, column)).

    Columns of which no component was measured are left out.
    """
    parsed = {name: parse_component(name) for name in scores}
    heads = sorted({c.head for c in parsed.values() if c.head is not None})
    kinds = [
        k for k in ("mlp", "attn") if any(c.kind == k and c.head is None for c in parsed.values())
    ]
    endings = [*kinds, *(f"attn.head.{head}" for head in heads)]
    titles = tuple([{"mlp": "MLP", "attn": "attn"}[k] for k in kinds] + [f"H{h}" for h in heads])
    n_layers = 1 + max((c.layer for c in parsed.values()), default=-1)
    names = np.array([[f"blocks.{i}.{end}" for end in endings] for i in range(n_layers)], object)
    values = np.array([[scores.get(name, np.nan) for name in row] for row in names], float)
    return titles, names, values.reshape(n_layers, len(endings))
