"""How far each tensor moved."""

import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.receipt_bars import _short, offers
from app.figures.receipt_bars import draw as figure_of
from worker.contract.errors import NotFound


def test_the_receipt_shows_every_changed_tensor(edit: Source) -> None:
    drawing = draw("receipt_bars", edit, {})
    plot = drawing.figure()
    assert plot["layout"]["xaxis"]["ticktext"][0] == "1.mlp.gate_proj"
    assert plot["data"][0]["y"] == pytest.approx([0.2] * 3 + [0.3] * 3, abs=1e-3)
    assert len(drawing.cells.rows) == 6


def test_only_an_edit_that_changed_something_has_a_receipt(
    edit: Source, localization: Source
) -> None:
    assert len(offers(edit.result)) == 1
    assert offers(localization.result) == []
    receipt = edit.result.receipt
    assert receipt is not None
    nothing = receipt.model_copy(update={"tensors": ()})
    assert offers(edit.result.model_copy(update={"receipt": nothing})) == []
    with pytest.raises(NotFound, match="has no receipt") as caught:
        figure_of(localization, {})
    assert caught.value.problems[0][0] == "figure"


def test_names_lose_what_all_share() -> None:
    assert _short("model.layers.1.mlp.up_proj.weight") == "1.mlp.up_proj"
    assert _short("lm_head.weight") == "lm_head"
