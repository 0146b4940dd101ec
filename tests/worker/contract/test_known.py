"""From which bounds on a fact counts as known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.contract.known import BUNDLED_MODEL, RETAINED, Known, Recalled

SHARES = st.floats(0, 1)


def recalled(**fields: float) -> Recalled:
    return Recalled(**{"probability": 0.5, "rank": 3, "share": 0.8, "place": 1, **fields})


@pytest.mark.parametrize(
    ("known", "holds"),
    [
        (Known(), True),
        (Known(probability=0.51), False),
        (Known(probability=0.4, rank=3), True),
        (Known(probability=0.4, rank=2), False),
        (Known(probability=0, rank=1), False),
        (Known(among="answers", probability=0.8), True),
        (Known(among="answers", probability=0.81), False),
        (Known(among="answers", probability=0.5, rank=1), True),
    ],
)
def test_a_fact_is_known_from_its_bounds_on(known: Known, holds: bool) -> None:
    assert known.holds(recalled()) == holds


def test_what_is_compared_is_what_the_rule_names() -> None:
    one = recalled(probability=0.1, share=0.9, rank=50, place=2)
    assert not Known(probability=0.5, rank=2).holds(one)
    assert Known(among="answers", probability=0.5, rank=2).holds(one)


@given(bound=SHARES, lower=SHARES, probability=SHARES, rank=st.integers(1, 9))
@settings(derandomize=True, max_examples=50)
def test_a_looser_bound_never_unknows_a_fact(
    bound: float, lower: float, probability: float, rank: int
) -> None:
    strict, loose = Known(probability=bound, rank=rank), Known(probability=min(bound, lower))
    one = recalled(probability=probability)
    assert loose.holds(one) or not strict.holds(one)


def test_the_bounds_are_said_as_they_are() -> None:
    assert Known().words == "a probability of at least 0.5"
    assert Known(rank=3).words == "a probability of at least 0.5 and a rank of at most 3"
    among = Known(among="answers", probability=0.25)
    assert among.words == "a share among the answers of at least 0.25"


@pytest.mark.parametrize(
    "wrong", [{"probability": 1.1}, {"probability": -0.1}, {"rank": -1}, {"rank": 1_000_001}]
)
def test_a_bound_that_no_fact_can_meet_or_miss_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Known(**wrong)
    assert Known(probability=1, rank=1_000_000)
    assert Known(probability=0, rank=0)


def test_what_is_kept_is_known_at_all_and_a_recall_may_name_no_token() -> None:
    assert Known(probability=0.1) == RETAINED
    assert recalled().says == ""
    assert BUNDLED_MODEL == "demo"
