"""Components summed up by layer: one bar for the MLP and one for the attention of every layer."""

from collections.abc import Mapping

import numpy as np

from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_bars
from app.drawing.sites import unit_of
from worker.contract.components import parse_component
from worker.contract.result import Result

KINDS = {"mlp": "MLP", "attn": "attention", "head": "largest head"}


def offers(result: Result) -> list[Offer]:
    """One offer where the result scores components."""
    if "components" not in result.arrays or result.attribution is None:
        return []
    return [Offer("layer_bars", "Components by layer")]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw MLP, attention and largest head of every layer, as far as they were measured."""
    attribution = source.result.attribution
    info = source.info("components")
    assert attribution is not None
    names = info.axes[0].labels or ()
    n_layers = 1 + max((parse_component(name).layer for name in names), default=-1)
    found = {kind: np.full(n_layers, np.nan) for kind in KINDS}
    for name, score in zip(names, source.array("components").tolist(), strict=True):
        component = parse_component(name)
        kind = "head" if component.head is not None else component.kind
        old = found[kind][component.layer]
        if np.isnan(old) or abs(score) > abs(old):
            found[kind][component.layer] = score
    series = tuple(
        Series(KINDS[kind], values) for kind, values in found.items() if np.isfinite(values).any()
    )
    heads = (
        " Of the heads, the one of its layer whose score is largest, whatever its sign."
        if len(series) > 2
        else ""
    )
    return draw_bars(
        Chart(
            title="Components by layer",
            caption=f"{attribution.direction} Means over {len(attribution.facts)} facts.{heads}",
            x_title="layer",
            x=tuple(range(n_layers)),
            y_title=unit_of(info, attribution),
            series=series,
        )
    )
