"""What expressions find in a result: tokens by name, cells by place, and gaps left out."""

from typing import Any

import pytest

from worker.contract.errors import UserError
from worker.contract.result import ArrayInfo, Axis, Provenance, Result
from worker.lessons.expressions import Expression
from worker.lessons.observing import Observed

TOKENS = [("Fact", False), (" Ann", True), (" Bell", True), (" plays", False)]
VALUES = [[0.0, 0.2, 0.9, None], [0.0, 0.1, 0.4, 0.6]]


def seen(**view: Any) -> Observed:
    prompt = {"name": "clean", "text": "", "tokens": [{"text": t, "subject": s} for t, s in TOKENS]}
    top = [
        {"prompt": "clean", "token": " ten", "id": 1, "rank": 1, "probability": 0.25},
        {"prompt": "clean", "token": " golf", "id": 0, "rank": 0, "probability": 0.5},
    ]
    answers = [{"prompt": "clean", "answer": "target", "text": " golf", "probability": 0.5}]
    told = {
        "prompts": [prompt], "top": top, "answers": answers,
        "target": {"text": " golf"}, "distractor": None,
        "metrics": {"logit_diff": {"clean": 3.0, "corrupted": -2.0}},
    }  # fmt: skip
    axes = (Axis(name="layer", labels=("0", "1")), Axis(name="token", labels=("0", "1", "2", "3")))
    made = Provenance(model="m", weights_hash="w", seed=0, device="cpu", dtype="f", versions={})
    return Observed(
        Result(
            kind="explore", spec={}, provenance=made, seconds=0.0, peak_memory_bytes=0,
            arrays={"a": ArrayInfo(file="", axes=axes, unit="", values=VALUES)}, view=told | view,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("answer()", "golf"),
        ('says("golf")', True),
        ('says("golfing")', True),
        ('says("tennis")', False),
        ('probability("ten")', 0.25),
        ('probability("target")', 0.5),
        ("target()", "golf"),
        ('told("corrupted")', -2.0),
        ('cell("a", layer=0, token=subject_last)', 0.9),
        ('cell("a", layer=-1, token=last)', 0.6),
        ('largest("a")', 0.9),
        ('largest("a", token=subject)', 0.9),
        ('largest("a", layer=1, token=subject)', 0.4),
        ('mean("a", token=subject)', 0.4),
        ('mean("a", token=last)', 0.6),
        ("answer_id()", 0),
        ('count("a", 0.4)', 3),
        ('count("a", 0.4, token=subject)', 2),
        ("at(last)", 3),
        ("at(subject_first)", 1),
        ("at(subject_last)", 2),
        ('where("a", "token", layer=1)', 3),
        ('where("a", "layer", token=subject_first)', 0),
        ('first("a", "layer", 0.5, token=last)', 1),
        ('first("a", "layer", 0.95)', 2),
        ('first("a", "layer", 0.3, ending="1")', 1),
        ('label("a", "token", 1)', " Ann"),
        ('largest("a") > 0.5 and not says("x") or 1 / 0 > 2', True),
        ("-1 + 2 * 3 - 4 / 2 == 3", True),
        ("1 < 2 < 2", False),
    ],
)
def test_an_expression_finds(text: str, value: Any) -> None:
    assert seen().value(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('cell("b", layer=0, token=0)', "No array of this experiment 'b'"),
        ('cell("a", layer=0)', "needs a place on token"),
        ('cell("a", layer=0, token=last)', "needs a place on"),
        ('cell("a", layer=9, token=0)', "layer is 9; expected one from 0 to 1"),
        ('largest("a", head=0)', "No axis of this array 'head'"),
        ('probability("sumo")', "not among the likeliest"),
        ("distractor()", "no distractor"),
        ('answer("corrupted")', "no likeliest tokens of a corrupted prompt"),
        ("1 / 0", "divides by zero"),
        ('"a" + 1', "do not go together"),
    ],
)
def test_what_cannot_be_found_is_said(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        seen().value(text)


def test_cells_are_accepted_by_value_and_place_and_gaps_never() -> None:
    found = seen().accepted("a", 'token <= subject_last and value >= 0.4 * largest("a")')
    assert [(one["layer"], one["token"]) for one in found] == [(0, 2), (1, 2)]
    assert len(seen().accepted("a", "value >= 0")) == 7


@pytest.mark.parametrize(
    "text", ["x", "lambda: 1", "says.__class__", "f'{1}'", "says(*'a')", "[1]", "1 if 1 else 2",
             "says('a', **{})", "None", "1 ** 9", "(" * 300, "1" * 500],
)  # fmt: skip
def test_nothing_but_small_arithmetic_is_an_expression(text: str) -> None:
    with pytest.raises(UserError):
        Expression(text, seen().functions, frozenset())
