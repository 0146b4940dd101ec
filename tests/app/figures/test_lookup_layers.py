"""Fact lookup's curve: the rule's choice shaded, the reader's framed, draws as bars."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw, offers
from worker.contract.mask import Mask
from worker.contract.result import ArrayInfo, Axis

CURVES = {
    "full_prompt": [0.34, 0.7, 0.9, 0.95],
    "bare_name": [0.33, 0.5, 0.8, 0.9],
    "control": [0.33, 0.32, 0.35, 0.33],
    "control_high": [0.38, 0.37, 0.39, 0.38],
    "confidence": [0.1, 0.9, 1.0, 0.2],
}


@pytest.fixture
def lookup(localization: Source) -> Source:
    infos = {
        f"probe.{name}": ArrayInfo(file="more.npz", axes=(Axis(name="layer"),), unit="accuracy")
        for name in CURVES
    }
    kept = localization.result
    assert kept.attribution is not None
    suggested = Mask(components=("blocks.1.mlp", "blocks.2.mlp"))
    result = kept.model_copy(
        update={
            "arrays": {"components": kept.arrays["components"], **infos},
            "attribution": kept.attribution.model_copy(update={"suggested": suggested}),
            "summary": {"lookup.confidence": 0.85},
        }
    )
    made = Source(result, localization.open)
    made._files["more.npz"] = {f"probe.{k}": np.array(v) for k, v in CURVES.items()}
    return made


def test_the_rules_choice_is_shaded_and_the_readers_can_be_dragged(lookup: Source) -> None:
    plot = draw("lookup_layers", lookup, {}).figure()
    shaded, framed = plot["layout"]["shapes"]
    assert (shaded["name"], shaded["x0"], shaded["x1"]) == ("marked", 0.5, 2.5)
    assert (framed["name"], framed["x0"], framed["x1"]) == ("chosen", 0.5, 2.5)
    assert plot["config"]["edits"] == {"shapePosition": True}
    assert [trace["type"] for trace in plot["data"]] == ["scatter"] * 4 + ["bar"]
    assert plot["data"][4]["y"] == pytest.approx([0.1, 0.9, 1.0, 0.2])


def test_the_caption_says_how_sure_the_rule_is(lookup: Source) -> None:
    drawing = draw("lookup_layers", lookup, {})
    assert "layers 1 to 2, the same in 85" in drawing.caption
    assert drawing.cells.rows[2][1:] == (0.9, 0.8, 0.35, 0.39, 1.0)
    unsure = lookup.result.model_copy(
        update={"attribution": lookup.result.attribution.model_copy(update={"suggested": None})}  # type: ignore[union-attr]
    )
    none = Source(unsure, lookup.open)
    none._files["more.npz"] = lookup._files["more.npz"]
    assert "The rule chose no layer" in draw("lookup_layers", none, {}).caption


def test_where_no_rise_was_found_the_figure_says_so_and_offers_no_frame(lookup: Source) -> None:
    kept = lookup.result
    assert kept.attribution is not None
    refusal = "No rise found: the model does not know these facts."
    attribution = kept.attribution.model_copy(update={"suggested": None, "no_choice": refusal})
    arrays = {name: info for name, info in kept.arrays.items() if name != "components"}
    noise = Source(
        kept.model_copy(update={"attribution": attribution, "arrays": arrays}), lookup.open
    )
    noise._files["more.npz"] = lookup._files["more.npz"]
    drawing = draw("lookup_layers", noise, {})
    assert refusal in drawing.caption and "Framed" not in drawing.caption
    plot = drawing.figure()
    assert not plot["layout"].get("shapes") and "edits" not in plot["config"]


def test_no_other_figure_draws_the_curves(lookup: Source) -> None:
    names = [offer.figure for offer in offers(lookup.result)]
    assert "lookup_layers" in names and "curves" not in names
