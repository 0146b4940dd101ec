"""What a shown number is called, and whether it may lie below 0."""

import re

import numpy as np
import pytest

from worker.contract.result import Axis
from worker.contract.units import CHANGES, DISTANCE, LEVELS, NEGATED, may_be_negative, size_of
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
