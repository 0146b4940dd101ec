"""The lens of one prompt: which rows of the residual stream are read, and what a cell says."""

from typing import Any

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.lens_grid import SHADES, is_shown, offers
from tests.app.figures.conftest import info, source
from worker.contract.errors import UserError

ROWS = ("embed", "0.attn", "0.mlp", "1.attn", "1.mlp")
TOKENS = ("<bos>", "Tiger", " Woods", " plays")
FIRST = 1
"""The lens begins after the first token."""


@pytest.fixture
def lens() -> Source:
    """Three of four positions; the cell of row i and position j says the token 10 i + j."""
    values = np.arange(15.0).reshape(5, 3)
    arrays = {f"lens.{shade}": values / 20 for shade in ("probability", "target")}
    arrays |= {"lens.rank": values, "lens.entropy": values / 100, "lens.divergence": values}
    infos = {
        name: info(("row", "position"), unit="nats" if "entropy" in name else "", row=ROWS)
        for name in arrays
    }
    tokens = [{"text": text, "subject": text in ("Tiger", " Woods")} for text in TOKENS]
    other = {"name": "corrupted", "text": "other", "tokens": [{"text": "x", "subject": False}] * 4}
    view: dict[str, Any] = {
        "positions": [FIRST, 4],
        "which": "clean",
        "prompts": [other, {"name": "clean", "text": "Tiger Woods plays", "tokens": tokens}],
        "vocabulary": {str(10 * i + j): f" w{i}{j}" for i in range(5) for j in range(3)},
        "top": [[[10 * i + j, 0.5] for j in range(3)] for i in range(5)],
    }
    made = source("explore", arrays, infos)
    return Source(made.result.model_copy(update={"view": view}), made.open)


def test_after_each_block_the_embedding_and_the_mlps_rows_are_shown(lens: Source) -> None:
    plot = draw("lens_grid", lens, {}).figure()
    assert plot["layout"]["xaxis"]["ticktext"] == ["embed", "0.mlp", "1.mlp"]
    assert plot["layout"]["yaxis"]["ticktext"] == [
        "<b>1 Tiger</b>",
        "<b>2 ␣Woods</b>",
        "3 ␣plays",
    ]
    wanted = (np.arange(15.0).reshape(5, 3) / 20)[[0, 2, 4]].T
    np.testing.assert_allclose(plot["data"][0]["z"], wanted, atol=1e-3)


def test_other_rows_are_shown_where_they_are_asked_for(lens: Source) -> None:
    def columns(after: str) -> list[str]:
        found: list[str] = draw("lens_grid", lens, {"after": after}).figure()["layout"]["xaxis"][
            "ticktext"
        ]
        return found

    assert columns("attn") == ["embed", "0.attn", "1.attn"]
    assert columns("both") == list(ROWS)
    assert not is_shown("10.mlp", "attn") and is_shown("10.attn", "attn")


def test_a_cell_says_the_likeliest_word_of_its_own_row_and_position(lens: Source) -> None:
    drawing = draw("lens_grid", lens, {"after": "both"})
    words = [cell for row in drawing.rows() for cell in row if str(cell).startswith("␣w")]
    assert words == [f"␣w{i}{j}" for j in range(3) for i in range(5)]


def test_probabilities_fill_their_range_and_other_numbers_their_own(lens: Source) -> None:
    for shade, high in {"probability": 1, "target": 1, "rank": 14, "entropy": 0.14}.items():
        drawing = draw("lens_grid", lens, {"shade": shade, "after": "both"})
        axis = drawing.figure()["layout"]["coloraxis"]
        assert (axis["cmin"], axis["cmax"]) == (0, pytest.approx(high)), shade
        assert drawing.title == f"{SHADES[shade].capitalize()}, token × layer"
        assert f"shade: {SHADES[shade]}" in drawing.caption
    unit = draw("lens_grid", lens, {"shade": "entropy"}).figure()["layout"]["coloraxis"]
    assert "nats" in unit["colorbar"]["title"]["text"]
    assert "Prompt: Tiger Woods plays" in draw("lens_grid", lens, {}).caption


def test_a_lens_offers_its_choices_and_other_results_nothing(
    lens: Source, localization: Source
) -> None:
    [offer] = offers(lens.result)
    assert (offer.figure, [c.name for c in offer.controls]) == ("lens_grid", ["shade", "after"])
    assert [c.value for c in offer.controls] == ["probability", "mlp"]
    assert offers(localization.result) == []
    with pytest.raises(UserError, match="'shades'"):
        draw("lens_grid", lens, {"shade": "shades"})
