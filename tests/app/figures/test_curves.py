"""Arrays of one axis, a chart per family."""

import numpy as np

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.curves import families, offers
from tests.app.figures.conftest import info, source
from worker.contract.mask import Mask


def test_a_family_of_curves_over_layers_is_one_chart(localization: Source) -> None:
    plot = draw("curves", localization, {"of": "probe.full"}).figure()
    assert [trace["name"] for trace in plot["data"]] == ["full", "shuffled"]
    assert plot["data"][0]["x"] == [0, 1, 2, 3]
    assert plot["layout"]["yaxis"]["title"]["text"] == "accuracy"


def test_a_family_shares_its_first_word_axis_length_and_unit() -> None:
    names = ("layer", {"unit": "a"}), ("layer", {"unit": "a"}), ("layer", {"unit": "b"})
    infos = {f"sweep.{i}": info((axis,), **more) for i, (axis, more) in enumerate(names)} | {
        "other.x": info(("layer",), unit="a"),
        "sweep.long": info(("layer",), unit="a", layer=("0", "1")),
        "curve.loss": info(("step",)),
        "components": info(("component",)),
        "probe.control": info(("layer",)),
        "two": info(("fact", "layer")),
    }
    result = source("localize", {}, infos).result
    assert list(families(result).values()) == [
        ["sweep.0", "sweep.1"],
        ["sweep.2"],
        ["other.x"],
        ["sweep.long"],
    ]
    assert offers(result)[0].title == "Sweep by layer"
    assert dict(offers(result)[1].fixed) == {"of": "sweep.2"}


def test_names_are_bars_and_numbers_are_lines_at_their_places() -> None:
    arrays = {"by_size.a": np.array([1.0, 2.0]), "by_name.left_out": np.array([3.0, 4.0])}
    infos = {
        "by_size.a": info(("size",), size=("10", "20"), title="Of size"),
        "by_name.left_out": info(("relation",), relation=("capital", "language")),
    }
    made = source("localize", arrays, infos)
    lines = draw("curves", made, {"of": "by_size.a"}).figure()
    assert (lines["data"][0]["x"], lines["data"][0]["name"]) == ([10, 20], "Of size")
    bars = draw("curves", made, {"of": "by_name.left_out"}).figure()
    assert bars["layout"]["xaxis"]["ticktext"] == ["capital", "language"]
    assert bars["data"][0]["type"] == "bar"
    assert bars["data"][0]["name"] == "left out"
    assert draw("curves", made, {}).caption == "What was found, in words."


def test_layers_that_the_method_chose_are_shaded_and_said(localization: Source) -> None:
    attribution = localization.result.attribution
    assert attribution is not None
    chosen = Mask(components=("blocks.2.mlp", "blocks.0.attn"))
    other = attribution.model_copy(update={"suggested": chosen})
    marked = Source(
        localization.result.model_copy(update={"attribution": other}), localization.open
    )
    drawing = draw("curves", marked, {})
    assert drawing.caption.endswith("Shaded layers are those that the method itself chose.")
    shaded = [
        (s["x0"], s["x1"]) for s in drawing.figure()["layout"]["shapes"] if s["type"] == "rect"
    ]
    assert len(shaded) == 2 and all(
        a < place < b for (a, b), place in zip(shaded, (0, 2), strict=True)
    )
    assert "Shaded" not in draw("curves", localization, {}).caption
