"""The bootstrap against drawing by hand, and where there is nothing to draw from."""

import math

import numpy as np

from worker.contract.bootstrap import draws, interval, mean


def ratio(numerators, denominators):
    with np.errstate(divide="ignore", invalid="ignore"):
        return numerators.sum(1) / denominators.sum(1)


def test_the_interval_is_that_of_means_drawn_one_by_one():
    values = np.array([0.0, 1.0, 4.0, 9.0, 16.0])
    rng = np.random.default_rng(3)
    by_hand = [values[rng.integers(0, 5, 5)].mean() for _ in range(400)]
    low, high = np.quantile(by_hand, [0.025, 0.975])
    assert interval([values], mean, seed=3, samples=400) == (6.0, low, high)


def test_rows_of_several_columns_are_drawn_together():
    """A column over itself is 1 in every sample, and would not be if they were drawn apart."""
    column = np.array([1.0, 2.0, 50.0])
    assert interval([column, column], ratio, seed=0, samples=200) == (1.0, 1.0, 1.0)


def test_samples_without_a_number_take_no_part():
    tops, bottoms = np.array([0.0, 3.0]), np.array([0.0, 1.0])
    assert interval([tops, bottoms], ratio, seed=0, samples=100) == (3.0, 3.0, 3.0)
    nothing = interval([np.zeros(2), np.zeros(2)], ratio, seed=0, samples=100)
    assert all(map(math.isnan, nothing))


def test_an_interval_holds_its_own_mean_though_few_samples_reach_it():
    values = np.array([0.0] * 400 + [1e6])
    found, low, high = interval([values], mean, seed=1, samples=2)
    assert low <= found <= high


def test_every_place_is_drawn_about_as_often():
    counts = np.bincount(draws(7, 10_000, 5).flatten(), minlength=7)
    # Each count is binomial with a deviation of about 92.
    assert counts.shape == (7,) and np.abs(counts - 10_000).max() < 460
