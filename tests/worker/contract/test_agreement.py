import math

import numpy as np

from worker.contract.agreement import rank_correlation, top_overlap


def test_agreement_looks_at_the_size_of_scores():
    one = {"a": 3.0, "b": -2.0, "c": 1.0, "d": 0.0}
    other = {"a": -30.0, "b": 20.0, "c": 1.0, "d": 0.5, "e": 99.0}
    assert np.isclose(rank_correlation(one, other), 1)
    assert top_overlap(one, other, 2) == 1
    assert top_overlap(one, {"a": 0.0, "b": 0.1, "c": 5.0, "d": 4.0}, 2) == 0
    assert math.isnan(rank_correlation(one, {"a": 1.0, "b": 1.0, "c": 1.0}))


def test_equal_scores_share_the_mean_of_their_ranks():
    """Ranks by hand: 0.5, 0.5, 2, 3 against 0, 1, 2, 3 give 4.5 over the root of 4.5 times 5."""
    one = {"a": 1.0, "b": -1.0, "c": 2.0, "d": 3.0}
    other = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
    assert np.isclose(rank_correlation(one, other), 4.5 / math.sqrt(4.5 * 5))


def test_what_one_run_did_not_measure_takes_no_part():
    one = {"a": 3.0, "b": 2.0, "c": 1.0, "d": float("nan")}
    assert rank_correlation(one, {"a": 3.0, "b": 2.0, "c": 1.0, "d": 9.0}) > 0.999
    assert math.isnan(top_overlap(one, {"e": 1.0}, 2))


def test_the_top_are_the_largest_and_a_tie_goes_by_name():
    one = {"a": 3.0, "b": -2.0, "c": 1.0, "d": 0.5}
    assert top_overlap(one, {"a": 9.0, "b": 0.1, "c": 8.0, "d": 0.2}, 2) == 1 / 3
    assert top_overlap(one, {"a": 0.1, "b": 9.0, "c": 8.0, "d": 0.2}, 1) == 0
    level = dict.fromkeys("abcd", 1.0)
    assert top_overlap(one, level, 2) == 1
    assert top_overlap(one, {"d": 1.0, "c": 1.0, "b": 0.0, "a": 0.0}, 3) == 0.5
