"""Attention heads at every token."""

import numpy as np

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.head_positions import ARRAY, SHOWN, offers
from tests.app.figures.conftest import info, source

N_LAYERS, N_HEADS, N_TOKENS = 3, 10, 11
NAMES = tuple(f"blocks.{i}.attn.head.{h}" for i in range(N_LAYERS) for h in range(N_HEADS))


def heads(localization: Source) -> Source:
    """Head number n scores n + 1 at token 4 and nothing elsewhere; every third works against."""
    values = np.zeros((2, len(NAMES), N_TOKENS))
    values[:, :, 4] = [(n + 1) * (-1 if n % 3 == 0 else 1) for n in range(len(NAMES))]
    infos = {ARRAY: info(("fact", "head", "position"), signed=True, head=NAMES)}
    made = source("localize", {ARRAY: values}, infos)
    result = made.result.model_copy(update={"attribution": localization.result.attribution})
    return Source(result, made.open)


def test_the_largest_heads_are_shown_in_the_models_order(localization: Source) -> None:
    drawing = draw("head_positions", heads(localization), {})
    plot = drawing.figure()
    assert SHOWN == 24
    names = [name.rpartition(".head.") for name in NAMES[-SHOWN:]]
    short = [f"{layer.split('.')[1]}.{head}" for layer, _, head in names]
    assert list(drawing.table.columns[1:]) == short
    assert len(plot["data"][0]["z"]) == N_TOKENS
    assert plot["data"][0]["z"][4][-1] == 30
    assert "the 24 largest heads" in drawing.caption
    box = plot["layout"]["shapes"][0]
    assert (box["y0"], box["y1"]) == (2.5, 6.5)


def test_a_layers_heads_are_shown_where_it_is_chosen_and_keep_the_colours(
    localization: Source,
) -> None:
    made = heads(localization)
    drawing = draw("head_positions", made, {"heads": "0", "fact": "babe"})
    assert len(drawing.table.columns) == 1 + N_HEADS
    assert len(drawing.table.rows) == 10, "as many as this fact's tokens"
    assert "all heads of a layer" in drawing.caption
    layout = drawing.figure()["layout"]
    assert layout["coloraxis"]["cmax"] == 30
    assert drawing.figure()["data"][0]["customdata"][4][1] == "blocks.0.attn.head.1"
    turned = draw("head_positions", made, {"transpose": "1"}).figure()
    assert len(turned["data"][0]["z"]) == SHOWN


def test_it_is_offered_where_heads_were_patched_by_position(localization: Source) -> None:
    [offer] = offers(heads(localization).result)
    which, fact, _ = offer.controls
    assert which.choices == (
        ("largest", "The largest"),
        ("0", "Layer 0"),
        ("1", "Layer 1"),
        ("2", "Layer 2"),
    )
    assert (which.value, fact.value) == ("largest", "jordan")
    assert offers(localization.result) == []
    bare = heads(localization).result.model_copy(update={"attribution": None})
    assert offers(bare) == []
