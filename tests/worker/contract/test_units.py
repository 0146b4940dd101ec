"""What a shown number is called, and whether it may lie below 0."""

import re

import numpy as np
import pytest

from worker.contract.result import Axis
from worker.contract.units import (
    CHANGES,
    DISTANCE,
    LEVELS,
    NEGATED,
    SHARE_OF_DIFFERENCE,
    may_be_negative,
    metric_words,
    size_of,
    unit_problem,
)
from worker.core.findings import Array


@pytest.mark.parametrize(
    ("unit", "signed", "words"),
    [
        ("", True, "has no unit"),
        (" ", False, "has no unit"),
        ("probability", True, "a difference of two is 'Δ probability'"),
        ("share of facts", True, "of a level"),
        ("Δ probability", False, "'|Δ probability|'"),
        ("−Δ divergence (nats)", False, "'|Δ divergence| (nats)'"),
    ],
)
def test_an_array_whose_unit_and_sign_contradict_each_other_is_not_made(
    unit: str, signed: bool, words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Array(np.zeros(2), (Axis(name="layer"),), unit, "Scores", signed=signed)
    Array(np.zeros(2), (Axis(name="layer"),), "a plugin's own", "Scores", signed=signed)


def test_of_a_change_the_size_is_a_level() -> None:
    assert not LEVELS & CHANGES
    assert size_of("−Δ divergence (nats)") == "|Δ divergence| (nats)"
    for unit in CHANGES:
        assert may_be_negative(unit) and not may_be_negative(size_of(unit))


def test_a_loss_that_is_raised_may_lie_below_0_and_a_distance_may_not() -> None:
    assert may_be_negative(NEGATED) and not may_be_negative(DISTANCE)
    assert may_be_negative("a plugin's own")


def test_metrics_and_what_is_measured_have_these_words() -> None:
    names = ("probability", "logit_diff", "kl", "a_plugins_own")
    assert [metric_words(name) for name in names] == [
        "probability", "logit difference", "minus the divergence (nats)", "a plugins own"
    ]  # fmt: skip
    levels = {"accuracy", "facts", "gate", "nats", "parameters", "probability", "share"}
    assert levels | {"share of draws", "share of facts", DISTANCE} == LEVELS
    assert {
        "Δ accuracy", "Δ logit difference", "Δ probability", "−Δ divergence (nats)",
        "faithfulness", "logit difference", "minus the divergence (nats)",
        "part of the logit difference", "nats, negated", SHARE_OF_DIFFERENCE,
    } == CHANGES  # fmt: skip
    assert size_of("Δ probability") == "|Δ probability|"


def test_a_unit_that_fits_its_sign_has_no_problem() -> None:
    for unit, signed in (
        ("Δ probability", True), ("probability", False), ("|Δ probability|", False),
        ("own", True), ("own", False),
    ):  # fmt: skip
        assert unit_problem(unit, signed) == ""
    assert "of a level" in unit_problem("|Δ probability|", True)
    assert "never below 0 are '|faithfulness|'" in unit_problem("faithfulness", False)
