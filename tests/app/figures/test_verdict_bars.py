"""A verdict's figure: what was asked before and after, and what only the edited model was asked."""

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.verdict_bars import offers
from tests.app.figures.conftest import source


def judged(**numbers: float | str | None) -> Source:
    plain = source("evaluate", {}, {})
    summary = {f"verdict.{name.replace('__', '.')}": value for name, value in numbers.items()}
    return Source(plain.result.model_copy(update={"summary": summary}), plain.open)


MADE = {
    "statement__forget__before": 0.75,
    "statement__forget__after": 0.125,
    "relearning__lora__held_out__after": 0.5,
    "question__forget__after": None,
}


def test_a_format_has_two_bars_and_an_attack_only_the_edited_models() -> None:
    plot = draw("verdict_bars", judged(**MADE), {}).figure()
    assert [(bar["name"], list(bar["x"]), list(bar["y"])) for bar in plot["data"]] == [
        ("before", [0.75], [0]),
        ("after", [0.125, 0.5], [0, 1]),
    ]
    assert list(plot["layout"]["yaxis"]["ticktext"]) == [
        "own prompt",
        "after relearning the other half",
    ]


def test_the_download_names_what_was_not_asked_by_an_empty_cell() -> None:
    header, *rows = draw("verdict_bars", judged(**MADE), {}).rows()
    assert list(header) == ["asked as", "before", "after"]
    assert [str(cell) for cell in rows[0]] == ["own prompt", "0.75", "0.125"]
    assert rows[1][1] in (None, "")


def test_only_a_verdict_is_offered() -> None:
    assert [offer.figure for offer in offers(judged(**MADE).result)] == ["verdict_bars"]
    assert offers(judged(verdict="gone").result) == []


def test_a_long_title_of_the_axis_stands_in_two_lines_and_away_from_the_labels() -> None:
    layout = draw("verdict_bars", judged(**MADE), {}).figure()["layout"]
    assert layout["xaxis"]["title"]["text"] == "probability<br>of the answer"
    assert layout["yaxis"]["title"]["standoff"] > 0
