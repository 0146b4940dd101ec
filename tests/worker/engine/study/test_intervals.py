"""Means over seeds with their intervals, and how they are written."""

import math

import numpy as np
import pytest

from worker.engine.study.intervals import estimate, finite, interval, words


def test_an_interval_covers_the_mean_of_a_normal_sample_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        _, low, high = interval(generator.normal(3.0, 1.0, 40))
        covered += low <= 3.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_what_is_missing_takes_no_part_and_nothing_has_no_mean() -> None:
    with_gap = interval(np.array([1.0, np.nan, 3.0, np.inf]))
    assert with_gap == interval(np.array([1.0, 3.0]))
    assert with_gap[0] == 2 and with_gap[1:] == (1.0, 3.0)
    nothing = interval(np.array([np.nan]))
    assert len(nothing) == 3 and all(map(math.isnan, nothing))


def test_one_seed_has_a_mean_and_no_interval() -> None:
    mean, low, high = interval(np.array([np.nan, 0.4]))
    assert mean == 0.4 and math.isnan(low) and math.isnan(high)
    assert words((mean, low, high)) == "0.4"
    found = estimate(np.array([0.4]))
    assert found is not None and found.n == 1 and found.low == found.high == found.mean


def test_an_estimate_counts_the_seeds_that_were_measured() -> None:
    found = estimate(np.array([1.0, np.nan, 3.0]))
    assert found is not None
    assert (found.mean, found.low, found.high, found.n) == (2.0, 1.0, 3.0, 2)
    assert estimate(np.array([np.nan])) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.12345, 0.1, 1234.5), "0.123 [0.1, 1.23e+03]"),
        ((float("nan"),) * 3, "–"),
    ],
)
def test_an_interval_is_written_to_three_figures(given: tuple, said: str) -> None:
    assert words(given) == said


def test_a_number_that_is_none_is_not_written() -> None:
    assert [finite(v) for v in (1.5, float("nan"), float("inf"))] == [1.5, None, None]
