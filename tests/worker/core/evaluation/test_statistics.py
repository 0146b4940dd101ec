"""Means and intervals on synthetic data with a known answer."""

import numpy as np
import pytest

from worker.core.evaluation._statistics import compare, estimate, harmonic_mean, summarize


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
    assert harmonic_mean([1.0, 0.5, 0.5]) == pytest.approx(0.6)
    assert harmonic_mean([1.0, 0.0]) == 0.0
