"""Heatmaps are tested by their axes, values and colour range."""

import csv
import io
import json

import numpy as np
import pytest

from app.csv_text import write
from app.drawing.drawing import Drawing, Source
from app.drawing.find import draw, figures, offers
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from worker.contract.errors import UserError


def rows_of(drawing: Drawing) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(write(drawing.rows())), newline="")))


def test_repeated_tokens_keep_rows_of_their_own(localization: Source) -> None:
    plot = draw("prompt_heatmap", localization, {"fact": "babe"}).figure()
    axis = plot["layout"]["yaxis"]
    assert axis["type"] == "linear"
    assert axis["tickvals"] == list(range(10))
    assert axis["ticktext"][3:7] == ["<b>␣Ba</b>", "<b>be</b>", "<b>␣Ba</b>", "<b>be</b>"]
    assert len(plot["data"][0]["z"]) == 10


def test_layers_are_counted_from_zero(localization: Source) -> None:
    axis = draw("prompt_heatmap", localization, {}).figure()["layout"]["xaxis"]
    assert axis["ticktext"] == ["0", "1", "2", "3"]


def test_the_first_token_is_on_top(localization: Source) -> None:
    axis = draw("prompt_heatmap", localization, {}).figure()["layout"]["yaxis"]
    assert axis["range"] == [10.5, -0.5]
    assert axis["ticktext"][0] == "&lt;bos&gt;"


@pytest.mark.parametrize("site", ["resid", "mlp", "attn"])
def test_a_signed_scale_is_symmetric_about_zero(localization: Source, site: str) -> None:
    drawing = draw("prompt_heatmap", localization, {"site": site})
    axis = drawing.figure()["layout"]["coloraxis"]
    extent = float(np.nanmax(np.abs(localization.array(f"grid.{site}")[0])))
    assert (axis["cmin"], axis["cmax"], axis["cmid"]) == (-extent, extent, 0)
    assert drawing.scales == {"coloraxis": "diverging"}
    assert "Δ probability" in axis["colorbar"]["title"]["text"]


def test_a_locked_range_is_the_same_for_all_sites_and_said(localization: Source) -> None:
    drawn = [
        draw("prompt_heatmap", localization, {"site": site, "fact": fact, "lock": "1"})
        for site in ("resid", "mlp", "attn")
        for fact in ("jordan", "babe")
    ]
    assert len({d.figure()["layout"]["coloraxis"]["cmax"] for d in drawn}) == 1
    assert all("One colour range for all facts and sites" in d.caption for d in drawn)


def test_picture_table_and_download_hold_the_same_numbers(localization: Source) -> None:
    drawing = draw("prompt_heatmap", localization, {"site": "mlp"})
    values = localization.array("grid.mlp")[0].T
    np.testing.assert_allclose(drawing.figure()["data"][0]["z"], values, atol=2e-3)
    table = [[float(cell.replace("−", "-")) for cell in row[1:]] for row in drawing.table.rows]
    np.testing.assert_allclose(table, values, rtol=6e-3)
    cells = rows_of(drawing)
    assert len(cells) == values.size
    for cell in cells:
        i, j = int(cell["token index"]), int(cell["layer"])
        assert float(cell["Δ probability"]) == pytest.approx(values[i, j], rel=1e-7)
        assert float(cell["normalized"]) == pytest.approx(values[i, j] / 0.8, rel=1e-6)
        assert cell["component"] == f"blocks.{j}.mlp"


def test_a_normalized_effect_is_not_clamped(localization: Source) -> None:
    shown = draw("prompt_heatmap", localization, {}).figure()["data"][0]["text"]
    raw = localization.array("grid.resid")[0].T / 0.8
    assert raw.max() > 1 and raw.min() < 0
    np.testing.assert_allclose(shown, raw, atol=2e-3)


def test_without_a_difference_there_is_no_normalized_effect(localization: Source) -> None:
    trace = draw("prompt_heatmap", localization, {"fact": "babe"}).figure()["data"][0]
    assert "text" not in trace and "normalized" not in trace["hovertemplate"]


def test_a_share_is_not_normalized_again(localization: Source) -> None:
    attribution = localization.result.attribution.model_copy(update={"unit": "share of clean"})
    result = localization.result.model_copy(update={"attribution": attribution})
    plot = draw("prompt_heatmap", Source(result, localization.open), {}).figure()
    assert "text" not in plot["data"][0]


def test_a_masks_cells_are_framed_on_demand(localization: Source) -> None:
    ask = {"mask": "blocks.2.mlp,blocks.3.attn.head.1"}
    shapes = draw("components_heatmap", localization, ask).figure()["layout"]["shapes"]
    turned = draw("components_heatmap", localization, ask | {"transpose": "1"}).figure()
    assert [(s["x0"] + 0.48, s["y0"] + 0.46) for s in shapes] == [(0, 2), (3, 3)]
    assert turned["layout"]["shapes"][0]["x0"] == pytest.approx(1.52)


def test_transposing_exchanges_axes_and_keeps_the_table(localization: Source) -> None:
    straight = draw("prompt_heatmap", localization, {})
    turned = draw("prompt_heatmap", localization, {"transpose": "1"})
    before, after = straight.figure()["data"][0], turned.figure()["data"][0]
    assert np.array_equal(np.array(before["z"]).T, after["z"])
    assert "blocks.%{x:d}" in before["hovertemplate"]
    assert "blocks.%{y:d}" in after["hovertemplate"]
    assert straight.table == turned.table
    box = turned.figure()["layout"]["shapes"][0]
    assert (box["x0"], box["x1"], box["y0"], box["y1"]) == (2.5, 6.5, -0.5, 3.5)


def test_the_subject_is_outlined(localization: Source) -> None:
    box = draw("prompt_heatmap", localization, {}).figure()["layout"]["shapes"][0]
    assert (box["name"], box["y0"], box["y1"]) == ("subject", 2.5, 6.5)


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


def test_roles_are_rows_and_layers_columns(localization: Source) -> None:
    plot = draw("roles_heatmap", localization, {"site": "mlp"}).figure()
    assert plot["layout"]["yaxis"]["ticktext"][2] == "last subject"
    np.testing.assert_allclose(plot["data"][0]["z"], localization.array("roles.mlp").T, atol=1e-3)


def test_both_themes_have_a_scale_whose_middle_is_the_ground(localization: Source) -> None:
    themes = draw("prompt_heatmap", localization, {}).figure()["themes"]
    for theme in ("light", "dark"):
        scale = themes[theme]["scales"]["coloraxis"]
        assert [stop for stop, _ in scale] == [0, 0.25, 0.5, 0.75, 1]
    light, dark = (themes[t]["scales"]["coloraxis"][2][1] for t in ("light", "dark"))
    assert luminance(light) > 0.8 and luminance(dark) < 0.05


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_long_prompt_in_a_deep_model_stays_under_100_kilobytes(localization: Source) -> None:
    draw_random = np.random.default_rng(0)
    fact = localization.result.attribution.facts[0].model_copy(
        update={"tokens": tuple(f" token{i}" for i in range(100))}
    )
    attribution = localization.result.attribution.model_copy(update={"facts": (fact,)})
    result = localization.result.model_copy(update={"attribution": attribution})
    large = Source(result, localization.open)
    large._files["arrays.npz"] = {"grid.resid": draw_random.normal(size=(1, 48, 100))}
    assert len(json.dumps(draw("prompt_heatmap", large, {}).figure())) < 100_000


def test_an_unknown_fact_site_or_figure_is_said(localization: Source) -> None:
    with pytest.raises(UserError, match="'nobody'"):
        draw("prompt_heatmap", localization, {"fact": "nobody"})
    with pytest.raises(UserError, match="'heads'"):
        draw("roles_heatmap", localization, {"site": "heads"})
    with pytest.raises(UserError, match="Did you mean 'prompt_heatmap'"):
        draw("prompt_heatmaps", localization, {})


def test_every_offer_of_every_result_can_be_drawn(
    localization: Source, edit: Source, evaluation: Source
) -> None:
    drawn = set()
    for source in (localization, edit, evaluation):
        for offer in offers(source.result):
            drawing = draw(offer.figure, source, dict(offer.fixed))
            assert drawing.caption and drawing.table.rows and len(list(drawing.rows())) > 1
            assert json.dumps(drawing.figure(), allow_nan=False)
            drawn.add(offer.figure)
    # These draw arrays of single methods, which their own tests make.
    own = {"matrices", "edge_graph", "faithfulness_curve", "head_positions", "lookup_layers"}
    own |= {"pareto", "settings_search", "lens_grid", "top_tokens"}
    assert drawn == set(figures()) - own


def test_names_under_columns_stand_and_have_room() -> None:
    def drawn(label: str, upright: bool) -> Drawing:
        columns = Side("with", (label, "b"), numbered=False, upright=upright)
        rows = Side("run", ("a", "b"), numbered=False)
        colours = Colours("share", False, 0.0, 1.0)
        return draw_grid(
            Grid("t", "c", rows, columns, np.eye(2), colours=colours, value_title="share")
        )

    lying, standing = drawn("attribution_patching", False), drawn("attribution_patching", True)
    assert standing.layout["xaxis"]["tickangle"] == 90 and "tickangle" not in lying.layout["xaxis"]
    assert standing.layout["height"] > lying.layout["height"] + 100


@pytest.mark.parametrize(("n_layers", "n_heads"), [(30, 9), (48, 25), (80, 40)])
def test_large_models_fit_a_page_and_their_numbers_do_not_touch(
    n_layers: int, n_heads: int
) -> None:
    layers = Side("layer", tuple(map(str, range(n_layers))))
    heads = Side("component", ("MLP", "attn", *(f"H{h}" for h in range(n_heads))))
    for columns in (layers, heads):
        values = np.zeros((n_layers, len(columns.labels)))
        grid = Grid(
            title="", caption="", rows=layers, columns=columns, values=values,
            colours=Colours("", True, -1, 1), value_title="",
        )  # fmt: skip
        drawn = draw_grid(grid)
        assert drawn.min_width <= 930, "as wide as a page of 1280 pixels has room for"
        assert drawn.layout["height"] <= 1100
        ticks = drawn.layout["yaxis"]["tickvals"]
        pixels = (drawn.layout["height"] - 112) / n_layers
        assert (ticks[1] - ticks[0]) * pixels >= 14, "a line of 12 pixels and some air"
    across = draw_grid(grid, transpose=True)
    ticks = across.layout["xaxis"]["tickvals"]
    assert (ticks[1] - ticks[0]) * (across.min_width - 120) / n_layers >= 20


@pytest.mark.parametrize("figure", ["prompt_heatmap", "roles_heatmap", "components_heatmap"])
def test_hover_colour_bar_and_download_name_the_arrays_own_unit(
    localization: Source, figure: str
) -> None:
    """An effect is a difference, also where the array's unit and the attribution's differ."""
    attribution = localization.result.attribution
    arrays = {
        name: info.model_copy(update={"unit": "Δ probability"})
        for name, info in localization.result.arrays.items()
    }
    other = attribution.model_copy(update={"unit": "probability"})
    result = localization.result.model_copy(update={"arrays": arrays, "attribution": other})
    drawing = draw(figure, Source(result, localization.open), {})
    shown = drawing.figure()
    assert "Δ probability" in shown["layout"]["coloraxis"]["colorbar"]["title"]["text"]
    assert all("<b>Δ probability %{z" in trace["hovertemplate"] for trace in shown["data"])
    assert "Δ probability" in rows_of(drawing)[0] and "probability" not in rows_of(drawing)[0]


def test_a_download_of_levels_and_their_difference_names_each_ones_unit(evaluation: Source) -> None:
    rows = rows_of(draw("probes_heatmap", evaluation, {}))
    units = {row["panel"]: row["unit"] for row in rows}
    assert units == {
        "before": "probability", "after": "probability", "difference": "Δ probability"
    }  # fmt: skip
    assert {"value"} <= set(rows[0])
