"""One prompt, token by layer: axes, values, colours and the numbers to take along."""

import csv
import io

import numpy as np
import pytest

from app.csv_text import write
from app.drawing.drawing import Drawing, Source
from app.drawing.find import draw
from app.figures.prompt_heatmap import offers
from tests.app.figures.conftest import opener


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
        assert float(cell["share of clean minus corrupted"]) == pytest.approx(
            values[i, j] / 0.8, rel=1e-6
        )
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


def test_the_caption_says_the_answer_its_foil_and_both_runs(localization: Source) -> None:
    drawing = draw("prompt_heatmap", localization, {"site": "mlp"})
    said = drawing.caption
    assert "for “basketball”: probability 0.950 on the clean prompt and 0.150" in said
    assert "One colour range" not in said
    attribution = localization.result.attribution
    assert attribution is not None
    facts = (attribution.facts[0].model_copy(update={"foil": "golf"}),)
    other = attribution.model_copy(update={"facts": facts, "metric": "logit_diff"})
    changed = Source(
        localization.result.model_copy(update={"attribution": other}), localization.open
    )
    said = draw("prompt_heatmap", changed, {}).caption
    assert "for “basketball” against “golf”: logit difference 0.950" in said


def test_what_can_be_chosen_is_offered_and_nothing_where_no_grid_is(
    localization: Source, edit: Source
) -> None:
    [offer] = offers(localization.result)
    controls = {control.name: control for control in offer.controls}
    assert list(controls) == ["site", "fact", "lock", "transpose"]
    assert controls["fact"].value == "jordan" and controls["site"].value == "resid"
    assert controls["fact"].choices[0] == ("jordan", "Michael Jordan → basketball")
    assert offers(edit.result) == []
    without = localization.result.model_copy(update={"attribution": None})
    assert offers(without) == []


def after_an_example(localization: Source) -> Source:
    """The same traces behind an example of six tokens, which no corruption reaches."""
    attribution = localization.result.attribution
    assert attribution is not None
    facts = tuple(
        fact.model_copy(
            update={
                "tokens": (*"abcdef", *fact.tokens),
                "subject": (fact.subject[0] + 6, fact.subject[1] + 6),
            }
        )
        for fact in attribution.facts
    )
    told = attribution.model_copy(update={"facts": facts})
    result = localization.result.model_copy(update={"attribution": told})
    arrays = {name: localization.array(name) for name in result.arrays}
    for name, values in arrays.items():
        if name.startswith("grid."):
            shape = (*values.shape[:2], 6)
            arrays[name] = np.concatenate([np.zeros(shape, values.dtype), values], axis=2)
    return Source(result, opener(arrays))


def test_an_example_before_the_prompt_is_one_row_that_opens(localization: Source) -> None:
    behind = after_an_example(localization)
    assert "whole" not in {c.name for c in offers(localization.result)[0].controls}
    assert "whole" in {c.name for c in offers(behind.result)[0].controls}
    drawing = draw("prompt_heatmap", behind, {"fact": "babe"})
    plot = drawing.figure()
    assert plot["layout"]["yaxis"]["ticktext"][:3] == ["… 9 tokens", "<b>␣Ba</b>", "<b>be</b>"]
    plain = localization.array("grid.resid")[1, :, :10].T
    shown = np.array(plot["data"][0]["z"], float)
    assert shown.shape[0] == plain.shape[0] - 3 + 1
    np.testing.assert_allclose(shown[1:], plain[3:], atol=2e-3)
    largest = [max(column, key=abs) for column in plain[:3].T]
    np.testing.assert_allclose(shown[0], largest, atol=2e-3)
    (outline,) = plot["layout"]["shapes"]
    assert (outline["y0"], outline["y1"]) == (0.5, 4.5)
    assert "9 tokens before the subject" in drawing.caption
    assert len(rows_of(drawing)) == 16 * 4
    whole = draw("prompt_heatmap", behind, {"fact": "babe", "whole": "1"}).figure()
    assert len(whole["data"][0]["z"]) == plain.shape[0] + 6
