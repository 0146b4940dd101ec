"""What was measured on a base is given again, and what it took is remembered with it."""

import time

import pytest

from worker.core.ahead.estimate import Part
from worker.core.ahead.timing import Timed
from worker.core.asking.kept import measured_once, spared_seconds


def busy(seconds: float) -> float:
    """Take at least this long."""
    begun = time.perf_counter()
    while (took := time.perf_counter() - begun) < seconds:
        pass
    return took


def test_a_measurement_is_made_once_also_one_that_finds_nothing() -> None:
    made: list[int] = []
    for _ in range(3):
        assert measured_once("kept: none", lambda: made.append(1)) is None
    assert made == [1]


def test_what_is_given_again_says_what_it_took_and_what_is_made_says_nothing() -> None:
    with spared_seconds() as first:
        measured_once("kept: busy", lambda: busy(0.02))
    with spared_seconds() as again:
        measured_once("kept: busy", lambda: busy(0.02))
        measured_once("kept: busy", lambda: busy(0.02))
    assert first == []
    assert len(again) == 2 and min(again) >= 0.02


def test_a_measurement_within_another_is_counted_once() -> None:
    def outer() -> float:
        return measured_once("kept: inner", lambda: busy(0.03)) + busy(0.01)

    with spared_seconds() as made:
        measured_once("kept: outer", outer)
    with spared_seconds() as spared:
        measured_once("kept: outer", outer)
    assert made == [] and len(spared) == 1 and spared[0] >= 0.04
    with spared_seconds() as told:
        measured_once("kept: other", outer)
    assert len(told) == 1 and told[0] >= 0.03, "its inner part was spared"


def test_a_failed_measurement_is_made_anew() -> None:
    def fail() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            measured_once("kept: failed", fail)


def test_a_run_that_was_spared_a_measurement_does_not_pass_for_a_fast_one() -> None:
    def paced() -> float:
        timed = Timed([Part("evaluate probes", 1.0)], {}, "cpu")
        with timed.part("evaluate probes"):
            measured_once("kept: paced", lambda: busy(0.05))
        (pace,) = timed.paces
        return pace.seen

    assert paced() >= 0.05 and paced() >= 0.05
