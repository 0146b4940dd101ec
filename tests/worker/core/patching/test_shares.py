"""Shares of a difference: which facts' say nothing, and how much each fact weighs."""

from typing import Any

import pytest

from worker.contract.facts import Fact
from worker.core.patching.cases import Case, Prepared
from worker.core.patching.outcome import Traced
from worker.core.patching.shares import difference_weights, leave_out_tiny

NOTHING: Any = None


def traced(*pairs: tuple[float, float]) -> dict[str, Traced]:
    """Facts by the clean and the corrupted metric."""
    found = {}
    for i, (clean, corrupted) in enumerate(pairs):
        fact = Fact(id=f"f{i}", subject="A", prompt="{} is", target="x")
        found[fact.id] = Traced(Case(fact, NOTHING, 0), clean, corrupted)
    return found


def left(least: float, *pairs: tuple[float, float]) -> tuple[list[str], Prepared]:
    facts, prepared = traced(*pairs), Prepared()
    leave_out_tiny(facts, prepared, "logit_diff", least)
    return list(facts), prepared


def test_facts_below_a_share_of_the_median_difference_go_with_their_numbers() -> None:
    kept, prepared = left(0.5, (1.0, 0.0), (-2.0, 0.0), (3.0, 1.0), (1.0, 0.75), (0.0, 0.625))
    assert kept == ["f0", "f1", "f2", "f4"], "the median is 1"
    [one] = prepared.left_out
    assert one.id == "f3"
    assert "metric logit_diff is 1 on the clean prompt and 0.75 on the corrupted" in one.reason
    assert "at least 0.5 (50% of the facts' median)" in one.reason


def test_a_difference_that_just_reaches_the_bound_stays() -> None:
    kept, prepared = left(0.5, (1.0, 0.0), (1.0, 0.0), (0.5, 0.0))
    assert (kept, prepared.left_out) == (["f0", "f1", "f2"], [])
    assert left(0.5)[0] == [] and left(0.0, (1.0, 1.0))[0] == ["f0"]


def test_weights_are_the_sizes_of_the_differences_and_add_up_to_one() -> None:
    weights = difference_weights(list(traced((1.0, 0.0), (0.0, 2.0), (4.0, 3.0)).values()))
    assert weights.tolist() == pytest.approx([0.25, 0.5, 0.25])
