"""Components summed up by layer."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.layer_bars import offers
from tests.app.figures.conftest import info, source
from worker.contract.result import Attribution

ATTRIBUTION = Attribution(method="m", metric="probability", direction="Up.", unit="Δ probability")


def test_layer_bars_take_the_largest_head_by_its_size(localization: Source) -> None:
    traces = draw("layer_bars", localization, {}).figure()["data"]
    by_name = {trace["name"]: trace["y"] for trace in traces}
    assert by_name["MLP"][3] == pytest.approx(-0.6, abs=1e-3)
    assert by_name["largest head"][3] == pytest.approx(0.15, abs=1e-3)


def test_what_was_not_measured_has_no_bars() -> None:
    names = ("blocks.0.attn.head.0", "blocks.2.attn.head.0", "blocks.2.attn.head.1")
    infos = {"components": info(("component",), component=names)}
    scores = {"components": np.array([1.0, 2.0, -3.0])}
    made = source("localize", scores, infos, attribution=ATTRIBUTION)
    [trace] = draw("layer_bars", made, {}).figure()["data"]
    assert (trace["name"], trace["y"]) == ("largest head", [1.0, None, -3.0])
    assert "score is largest" not in draw("layer_bars", made, {}).caption


def test_it_is_offered_where_components_were_scored(localization: Source, edit: Source) -> None:
    assert len(offers(localization.result)) == 1
    assert offers(edit.result) == []
    assert offers(localization.result.model_copy(update={"attribution": None})) == []
    assert (
        "the one of its layer whose score is largest"
        in draw("layer_bars", localization, {}).caption
    )
