"""Faithfulness curves: the ranking against chance, by values, intervals and areas."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw, offers
from worker.contract.result import ArrayInfo, Axis

LINES = ("ranked", "low", "high", "random 0", "random 1")
VALUES = np.array(
    [[0.0, 0.8, 1.0], [0.0, 0.6, 1.0], [0.0, 0.9, 1.0], [0.0, 0.1, 1.0], [0.0, 0.3, 1.0]]
)


@pytest.fixture
def faithful(evaluation: Source) -> Source:
    axes = (Axis(name="line", labels=LINES), Axis(name="size", labels=("0", "0.5", "1")))
    infos = {
        f"faithfulness.{mode}": ArrayInfo(file="more.npz", axes=axes, unit="faithfulness")
        for mode in ("only", "without")
    }
    result = evaluation.result.model_copy(update={"arrays": infos})
    made = Source(result, evaluation.open)
    made._files["more.npz"] = {"faithfulness.only": VALUES, "faithfulness.without": 1 - VALUES}
    return made


def test_the_ranking_stands_beside_the_mean_of_the_draws(faithful: Source) -> None:
    drawing = draw("faithfulness_curve", faithful, {})
    own, chance = drawing.figure()["data"]
    assert (own["name"], chance["name"]) == ("ranked", "random")
    assert own["y"] == pytest.approx([0, 0.8, 1], abs=1e-3)
    assert own["error_y"]["arrayminus"][1] == pytest.approx(0.2, abs=1e-3)
    assert chance["y"][1] == pytest.approx(0.2, abs=1e-3)
    assert chance["error_y"]["array"][1] == pytest.approx(0.1, abs=1e-3)
    assert "Area under the ranking's curve 0.650, under the random ones' 0.350" in drawing.caption
    assert drawing.cells.rows[1][0] == 0.5


def test_it_is_drawn_once_and_by_no_other_figure(faithful: Source) -> None:
    found = [offer for offer in offers(faithful.result) if offer.figure != "estimates"]
    assert [offer.figure for offer in found] == ["faithfulness_curve"]
    other = draw("faithfulness_curve", faithful, {"mode": "without"})
    assert other.figure()["data"][0]["y"][0] == 1 and "lower is better" in other.caption
