"""Components by layer: columns, names, a mask's frames and what a click does."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.components_heatmap import by_layer, offers


def test_a_masks_cells_are_framed_on_demand(localization: Source) -> None:
    ask = {"mask": "blocks.2.mlp,blocks.3.attn.head.1"}
    shapes = draw("components_heatmap", localization, ask).figure()["layout"]["shapes"]
    turned = draw("components_heatmap", localization, ask | {"transpose": "1"}).figure()
    assert [(s["x0"] + 0.48, s["y0"] + 0.46) for s in shapes] == [(0, 2), (3, 3)]
    assert turned["layout"]["shapes"][0]["x0"] == pytest.approx(1.52)


def test_components_have_mlp_and_attention_as_columns_of_their_own(localization: Source) -> None:
    drawing = draw("components_heatmap", localization, {})
    plot = drawing.figure()
    assert plot["layout"]["xaxis"]["ticktext"] == ["MLP", "attn", "H0", "H1"]
    trace = plot["data"][0]
    assert trace["customdata"][3] == [
        "blocks.3.mlp",
        "blocks.3.attn",
        "blocks.3.attn.head.0",
        "blocks.3.attn.head.1",
    ]
    assert trace["z"][3][0] == pytest.approx(-0.6)
    assert plot["layout"]["coloraxis"]["cmin"] == -0.6


def test_what_a_click_does_is_promised_only_where_it_does_it(localization: Source) -> None:
    edited = draw("components_heatmap", localization, {"editing": "1"}).figure()["data"][0]
    shown = draw("components_heatmap", localization, {}).figure()["data"][0]
    assert "Click" in edited["hovertemplate"]
    assert "Click" not in shown["hovertemplate"]


def test_what_was_not_measured_has_no_column_or_an_empty_cell() -> None:
    titles, names, values = by_layer({"blocks.1.attn.head.2": 0.5, "blocks.0.attn": 0.25})
    assert titles == ("attn", "H2")
    assert names.tolist() == [
        ["blocks.0.attn", "blocks.0.attn.head.2"],
        ["blocks.1.attn", "blocks.1.attn.head.2"],
    ]
    np.testing.assert_array_equal(values, [[0.25, np.nan], [np.nan, 0.5]])
    titles, _, values = by_layer({"blocks.0.mlp": 1.0})
    assert (titles, values.tolist()) == (("MLP",), [[1.0]])
    assert by_layer({})[2].shape == (0, 0)


def test_it_is_offered_where_components_were_scored(localization: Source, edit: Source) -> None:
    [offer] = offers(localization.result)
    assert offer.clickable and [one.name for one in offer.controls] == ["transpose"]
    assert offers(edit.result) == []
    assert offers(localization.result.model_copy(update={"attribution": None})) == []
    assert "Means over 2 facts" in draw("components_heatmap", localization, {}).caption
