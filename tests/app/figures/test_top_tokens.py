"""The likeliest next tokens: bars in their order, each prompt's in a trace of its own."""

import pytest

from app.drawing.bars import ROW
from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.top_tokens import offers
from tests.app.figures.conftest import source


def made(*rows: tuple[str, str, float]) -> Source:
    """Predictions of prompt, token and probability; logits and ids count up."""
    top = [
        {"prompt": p, "token": t, "id": 7 + i, "probability": x, "logit": 2.5 + i, "rank": i}
        for i, (p, t, x) in enumerate(rows)
    ]
    plain = source("explore", {}, {})
    update = {"view": {"top": top}, "spec": {"view": "predictions"}}
    return Source(plain.result.model_copy(update=update), plain.open)


TWO = made(("clean", " golf", 0.75), ("corrupted", "<b>", 0.5), ("clean", "", 0.125))


def test_each_prompts_bars_stand_in_the_rows_order() -> None:
    clean, corrupted = draw("top_tokens", TWO, {}).traces
    assert (clean["name"], clean["y"], clean["x"]) == ("clean", [0, 2], [0.75, 0.125])
    assert (corrupted["name"], corrupted["y"], corrupted["x"]) == ("corrupted", [1], [0.5])
    assert clean["customdata"] == ["␣golf (clean)", "∅ (clean)"]
    assert corrupted["customdata"] == ["&lt;b&gt; (corrupted)"]
    assert draw("top_tokens", TWO, {}).figure()["layout"]["barmode"] == "overlay"


def test_the_first_bar_is_on_top_and_every_bar_is_labelled() -> None:
    layout = draw("top_tokens", TWO, {}).figure()["layout"]
    axis = layout["yaxis"]
    assert axis["tickvals"] == [0, 1, 2] and axis["range"] == [2.5, -0.5]
    assert axis["ticktext"] == ["␣golf (clean)", "&lt;b&gt; (corrupted)", "∅ (clean)"]
    assert list(layout["xaxis"]["range"]) == [0, 1]
    assert axis["fixedrange"] and axis["automargin"] and layout["xaxis"]["fixedrange"]


def test_more_bars_make_it_higher_and_one_prompt_needs_no_legend() -> None:
    one = draw("top_tokens", made(("clean", "a", 0.5)), {}).figure()["layout"]
    two = draw("top_tokens", TWO, {}).figure()["layout"]
    assert two["height"] - one["height"] == 2 * ROW and one["height"] > ROW
    assert (one["showlegend"], two["showlegend"]) == (False, True)


def test_ranks_count_from_one_and_the_download_is_exact() -> None:
    drawing = draw("top_tokens", TWO, {})
    header, *rows = drawing.rows()
    assert list(header) == ["prompt", "token", "id", "probability", "logit", "rank"]
    assert [[str(cell) for cell in row] for row in rows][2] == [
        *("clean", "", "9", "0.125", "4.5", "3")
    ]
    assert drawing.table.rows[0] == ("clean", " golf", 7, "0.750", "2.50", 1)


def test_only_predictions_are_offered(localization: Source) -> None:
    assert [offer.figure for offer in offers(TWO.result)] == ["top_tokens"]
    assert offers(localization.result) == []


@pytest.mark.parametrize("count", [1, 10])
def test_any_number_of_tokens_is_drawn(count: int) -> None:
    drawing = draw("top_tokens", made(*(("clean", f"t{i}", 0.1) for i in range(count))), {})
    assert len(drawing.figure()["data"][0]["y"]) == count == len(drawing.table.rows)
