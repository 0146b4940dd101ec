"""A logit's parts as bars: which logit, and that its parts sum to it is said in numbers."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.decomposition_bars import offers
from tests.app.figures.conftest import info, source
from worker.contract.errors import UserError

PARTS = ("embed", "blocks.0.mlp")


def made(*of: str) -> Source:
    """The logits that are named, each of two parts."""
    values = {"difference": [0.5, 1.5], "target": [3.0, 4.0], "distractor": [2.5, 2.5]}
    arrays = {f"decomposition.{name}": np.array(values[name]) for name in of}
    infos = {name: info(("component",), component=PARTS) for name in arrays}
    plain = source("explore", arrays, infos)
    sums = {name: {"sum": sum(values[name]), "logit": sum(values[name]) + 0.001} for name in of}
    return Source(plain.result.model_copy(update={"view": {"sums": sums}}), plain.open)


@pytest.mark.parametrize(
    "ask, title, bars",
    [
        ({}, "target less distractor", [0.5, 1.5]),
        ({"of": "target"}, "target", [3, 4]),
        ({"of": "distractor"}, "distractor", [2.5, 2.5]),
    ],
)
def test_the_parts_of_the_logit_that_is_asked_for_are_drawn(
    ask: dict[str, str], title: str, bars: list[float]
) -> None:
    drawing = draw("decomposition_bars", made("difference", "target", "distractor"), ask)
    [drawn] = drawing.figure()["data"]
    assert (drawn["name"], list(drawn["x"])) == (title, bars)
    assert drawing.title == f"Direct logit attribution, {title}"
    assert f"sum to {sum(bars):g}; the logit is {sum(bars) + 0.001:.4g}" in drawing.caption
    assert drawing.cells.rows == tuple(zip(PARTS, bars, strict=True))
    assert drawing.cells.columns == ("component", "logit")


def test_without_a_distractor_there_is_one_logit(localization: Source) -> None:
    alone = made("target")
    [offer] = offers(alone.result)
    [control] = offer.controls
    assert (control.name, control.choices, control.value) == (
        *("of", (("target", "target"),), "target"),
    )
    with pytest.raises(UserError, match="'difference'"):
        draw("decomposition_bars", alone, {"of": "difference"})
    assert offers(localization.result) == []
