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
    own |= {
        "pareto",
        "settings_search",
        "lens_grid",
        "top_tokens",
        "patching_map",
        "decomposition_bars",
        "head_pattern",
        "heads_grid",
        "neuron_bars",
        "circuit_edges",
        "verdict_bars",
    }
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
