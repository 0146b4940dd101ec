"""How long a part of a run took, over what it was told."""

import pytest
from pydantic import ValidationError

from worker.contract.pace import Pace, work_name


@pytest.mark.parametrize("field", ["told", "seen"])
@pytest.mark.parametrize("wrong", [0, -1, float("inf")])
def test_a_pace_is_of_work_that_took_time(field: str, wrong: float) -> None:
    sound = {"work": "w", "device": "d", "told": 0.5, "seen": 0.5}
    assert Pace(**sound).told == 0.5
    with pytest.raises(ValidationError):
        Pace(**{**sound, field: wrong})


def test_work_is_named_by_its_kind_and_its_method() -> None:
    assert work_name("localization", "causal_tracing") == "localization causal_tracing"
