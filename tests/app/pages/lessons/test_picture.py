"""Figures of a lesson that show what a run found: numbers as bars, tables, a text to forget."""

from typing import Any

import pytest

from app.pages.lessons._picture import csv_rows, drawn
from worker.contract.errors import UserError
from worker.contract.result import Provenance, Result, Table
from worker.lessons.observing import Observed
from worker.lessons.schema import Figure


def seen() -> Observed:
    def token(text: str, mark: float, anchor: str = "", label: str = "") -> dict[str, Any]:
        original = [["the", 0.5], ["a", 0.25]]
        return {"text": text, "mark": mark, "anchor": anchor, "label": label, "original": original}

    tokens = [
        token("So", 0.0),
        token(" Merrin", 2.0, "Merrin", " Anna"),
        token(" met", -0.5, "", " saw"),
        token(" Vorrath", 1.0, "Vorrath", " Vorrath"),  # the text's own word is no lesson
        token(" Merrin", 1.0, "Merrin", " Anna"),
    ]
    made = Provenance(model="m", weights_hash="w", seed=0, device="cpu", dtype="f", versions={})
    return Observed(
        Result(
            kind="unlearn", spec={}, provenance=made, seconds=0.0, peak_memory_bytes=0,
            summary={"before": 0.5, "after": 4.0}, view={"tokens": tokens},
            tables={"words": Table(columns=("word", "times"), rows=(("Merrin", 2),))},
        )
    )  # fmt: skip


def figure(show: str, **more: Any) -> Figure:
    return Figure.model_validate(
        {"name": "f", "of": "x", "show": show, "title": "T", "caption": "C", **more}
    )


def test_bars_are_as_long_as_their_share_of_the_most() -> None:
    bars = [
        {"words": "then", "value": 'found("before")'},
        {"words": "now", "value": "found('after')"},
    ]
    one = figure("bars", bars=bars)
    assert drawn(one, seen())["numbers"] == [("then", 0.5, 0.125), ("now", 4.0, 1.0)]
    assert list(csv_rows(one, seen())) == [["", "value"], ["then", 0.5], ["now", 4.0]]


def test_labels_show_each_expression_once_where_another_word_is_to_be_learnt() -> None:
    table = drawn(figure("labels"), seen())["table"]
    assert table.columns == ("after", "the text has", "the model expects", "it is to learn")
    assert table.rows == (("… So", "␣Merrin", "the", "␣Anna"),)


def test_a_text_is_shown_with_its_marks_and_given_with_its_numbers() -> None:
    shown = drawn(figure("text"), seen())["text"]
    assert [one["sign"] for one in shown] == ["up", "up", "down", "up", "up"]
    rows = list(csv_rows(figure("text"), seen()))
    assert rows[0] == ["token", "rise"] and rows[2] == [" Merrin", 2.0] and len(rows) == 6


def test_a_table_is_found_by_its_name_and_a_missing_one_is_named() -> None:
    assert drawn(figure("table.words"), seen())["table"].rows == (("Merrin", 2),)
    with pytest.raises(UserError, match="Did you mean 'words'"):
        drawn(figure("table.word"), seen())
    with pytest.raises(UserError, match="No number of this experiment 'fter'"):
        seen().found("fter")
