"""Attention heads at every token: token rows × head columns, one layer or the largest heads."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.drawing.ask import choose, is_on
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.sites import unit_of
from app.drawing.words import show_token
from app.figures.prompt_heatmap import between
from worker.contract.components import parse_component
from worker.contract.result import Result

ARRAY = "positions.head"
LARGEST = "largest"
SHOWN = 24
"""Heads shown where the largest are asked for."""


def offers(result: Result) -> list[Offer]:
    """One offer where heads were patched position by position."""
    if ARRAY not in result.arrays or result.attribution is None:
        return []
    facts = tuple((fact.id, f"{fact.label} → {fact.answer}") for fact in result.attribution.facts)
    which = tuple((w, f"Layer {w}" if w != LARGEST else "The largest") for w in _which(result))
    controls = (
        Control("heads", "Heads", which, LARGEST),
        Control("fact", "Fact", facts, facts[0][0] if facts else ""),
        Control("transpose", "Heads down"),
    )
    return [Offer("head_positions", "Heads: token × head", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one fact's heads, by default those with the largest |score| anywhere in its prompt."""
    attribution, info = source.result.attribution, source.info(ARRAY)
    assert attribution is not None
    wanted = choose(ask, "fact", [fact.id for fact in attribution.facts])
    index = next(i for i, fact in enumerate(attribution.facts) if fact.id == wanted)
    fact = attribution.facts[index]
    names = info.axes[1].labels or ()
    values = source.array(ARRAY)[index][:, : len(fact.tokens)].astype(float)
    heads = choose(ask, "heads", _which(source.result))
    chosen = _chosen(names, values, heads)
    words = "all heads of a layer" if heads != LARGEST else f"the {len(chosen)} largest heads"
    grid = Grid(
        title=f"{fact.label}: heads, token × head",
        caption=(
            f"{attribution.direction} Each cell is one head at one token; shown are {words}, in "
            f"model order: {between(attribution, fact)} The subject's tokens are bold and outlined."
        ),
        rows=Side("token", tuple(map(show_token, fact.tokens)), frozenset(range(*fact.subject))),
        columns=Side("head", tuple(_short(names[i]) for i in chosen), numbered=False),
        values=values[chosen].T,
        colours=Colours.over([values], unit_of(info, attribution), info.signed),
        value_title=unit_of(info, attribution),
        names=np.array([[names[i] for i in chosen]] * len(fact.tokens), object),
        outlined=fact.subject,
    )
    return draw_grid(grid, is_on(ask, "transpose"))


def _which(result: Result) -> list[str]:
    layers = {parse_component(name).layer for name in result.arrays[ARRAY].axes[1].labels or ()}
    return [LARGEST, *map(str, sorted(layers))]


def _chosen(names: tuple[str, ...], values: NDArray[np.float64], heads: str) -> list[int]:
    if heads != LARGEST:
        return [i for i, name in enumerate(names) if parse_component(name).layer == int(heads)]
    order = np.argsort(-np.nanmax(np.abs(values), axis=1), kind="stable")
    return sorted(order[:SHOWN].tolist())


def _short(name: str) -> str:
    head = parse_component(name)
    return f"{head.layer}.{head.head}"
