"""What an edit says of itself where it is not as it was meant."""

from worker.core.training.auto import Tried
from worker.core.training.judge import Judged
from worker.core.training.options import Training
from worker.core.training.shortfall import shortfall

BEFORE = {"forget_probability": 0.9, "edit_probability": 0.01, "retain_probability": 0.8}


def tried(goal: float, retain: float) -> Tried[Training]:
    return Tried(Training(), Judged(goal, retain, 0.0, score=-1.0), "kept step 10")


def test_an_edit_as_it_was_meant_says_nothing() -> None:
    forgotten = {"forget_probability": 0.17, "retain_probability": 0.73}
    assert shortfall(BEFORE, forgotten, "unlearn") == ""
    edited = {"forget_probability": 0.5, "edit_probability": 0.8, "retain_probability": 0.9}
    assert shortfall(BEFORE, edited, "edit") == ""
    assert shortfall({}, {}, "unlearn") == "", "nothing was probed"


def test_what_is_left_of_the_fact_and_what_is_lost_of_others_are_told_with_their_bounds() -> None:
    said = shortfall(BEFORE, {"forget_probability": 0.45, "retain_probability": 0.4}, "unlearn")
    assert "50% of the target's probability is left on forget facts, where 20% at most" in said
    assert "and 50% of watched retain facts' probability is left, where 90% were wanted." in said
    weak = shortfall(BEFORE, {"edit_probability": 0.6, "retain_probability": 0.8}, "edit")
    assert "the edit target has 0.60 on forget facts, where 0.8 was wanted." in weak
    assert "retain facts" not in weak


def test_whether_any_setting_reached_it_is_told_too() -> None:
    left = {"forget_probability": 0.45, "retain_probability": 0.8}
    none = shortfall(BEFORE, left, "unlearn", [tried(0.7, 1.0), tried(0.9, 0.5)])
    assert "None of the 2 settings that the search tried reached it either." in none
    one = shortfall(BEFORE, left, "unlearn", [tried(0.9, 1.0)])
    assert "On the facts that stood in for these in the search, its settings reached it." in one
    assert "search" not in shortfall(BEFORE, left, "unlearn"), "settings given by hand"
