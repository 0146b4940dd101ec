"""Means and intervals on synthetic data with a known answer."""

import numpy as np
import pytest

from worker.core.asking.statistics import (
    compare,
    estimate,
    estimate_of,
    harmonic_mean,
    mean_of_known,
    summarize,
)


def test_the_interval_covers_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        found = estimate(rng.normal(0.5, 0.2, 50), seed=trial, resamples=400)
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 300 <= 0.98


def test_the_interval_narrows_with_the_root_of_the_number_of_facts() -> None:
    rng = np.random.default_rng(0)
    few, many = (estimate(rng.normal(0, 1, n)) for n in (100, 1600))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.25)


def test_values_that_are_nan_take_no_part() -> None:
    found = estimate(np.array([1.0, np.nan, 3.0]))
    assert (found.mean, found.n) == (2.0, 2)
    assert estimate(np.array([np.nan])) is None


def test_one_value_is_its_own_interval() -> None:
    found = estimate(np.array([0.7]))
    assert (found.mean, found.low, found.high, found.n) == (0.7, 0.7, 0.7, 1)


def test_equal_seeds_give_equal_intervals() -> None:
    values = np.random.default_rng(1).random(20)
    assert estimate(values, seed=4) == estimate(values, seed=4)
    assert estimate(values, seed=4) != estimate(values, seed=5)


def test_a_comparison_without_an_edit_has_only_a_before() -> None:
    base = compare("a.b", "B", "higher", np.array([0.25, 0.75]), None)
    both = compare("a.c", "C", "lower", np.array([1.0]), np.array([0.5]))
    assert summarize([base, both]) == {"a.b.before": 0.5, "a.c.before": 1.0, "a.c.after": 0.5}


def test_the_harmonic_mean_is_nothing_where_one_value_is_nothing() -> None:
    found = harmonic_mean(np.array([[1.0, 1.0, np.nan], [0.5, 0.0, 0.5], [0.5, 0.5, 0.5]]))
    assert found[:2].tolist() == pytest.approx([0.6, 0.0]) and np.isnan(found[2])


def test_a_number_made_of_several_columns_has_an_interval_that_covers_it() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        # The ratio of two sums whose terms go together: the true ratio is 2.
        size = rng.integers(5, 20, 60).astype(float)
        total = size * rng.normal(2.0, 0.3, 60)
        found = estimate_of((total, size), lambda a, b: a.sum(1) / b.sum(1), seed=trial,
                            resamples=300)  # fmt: skip
        covered += found.low <= 2.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_columns_with_gaps_are_averaged_over_what_is_known() -> None:
    gaps = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    assert mean_of_known(gaps)[0] == 2.0 and np.isnan(mean_of_known(gaps)[1])
    assert estimate_of((gaps[1],), mean_of_known) is None
    found = estimate_of((gaps[0],), mean_of_known)
    assert found.mean == 2.0 and found.low <= 2.0 <= found.high
