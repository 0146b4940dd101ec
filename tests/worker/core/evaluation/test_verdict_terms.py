"""The verdict's thresholds, and a number as a share of its reference over chance."""

import pytest
from pydantic import ValidationError

from worker.core.evaluation._verdict_terms import NO_POWER, Answer, Scale, Thresholds

SHARES = ("known", "said", "returned", "read", "kept", "lost", "repetition", "repetition_broken")
DEFAULTS = {
    "known": 0.1,
    "said": 0.3,
    "returned": 0.5,
    "read": 0.5,
    "kept": 0.9,
    "lost": 0.5,
    "text": 1.1,
    "text_broken": 1.5,
    "divergence": 0.1,
    "divergence_broken": 0.7,
    "repetition": 0.15,
    "repetition_broken": 0.35,
}


def test_thresholds_have_these_defaults() -> None:
    assert Thresholds().model_dump() == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_threshold_is_taken_up_to_its_bounds_alone(name: str) -> None:
    # A fact may be called known from no probability on; every other cut lies above its lowest.
    lowest = 1.0 if name.startswith("text") else 0.0
    for value in (lowest + 0.001, 0.999 if name in SHARES else 100):
        assert getattr(Thresholds.model_validate({name: value}), name) == value
    wrong = [lowest - 0.001, 1.0 if name in SHARES else 100.001]
    for value in wrong if name == "known" else [*wrong, lowest]:
        with pytest.raises(ValidationError, match=name):
            Thresholds.model_validate({name: value})
    assert Thresholds(known=0).known == 0


def test_a_share_is_of_what_lies_over_chance_and_its_cut_leads_back() -> None:
    scale = Scale(reference=0.75, chance=0.25)
    assert [scale.share(p) for p in (0.75, 0.5, 0.25, 0.0)] == [1.0, 0.5, 0.0, -0.5]
    assert [scale.cut(share) for share in (1.0, 0.5, 0.0)] == [0.75, 0.5, 0.25]
    assert Scale(0.25, 0.25).share(0.5) == pytest.approx(0.25 / 1e-9), "no division by nought"


def test_a_rule_names_its_cut_and_what_that_is_a_share_of() -> None:
    assert Scale(0.75, 0.25).rule("yes above", 0.5) == (
        "yes above 0.50: 0.5 of the base's 0.75, over a chance of 0.25"
    )
    read = Scale(1.0, 0.0, "the retain facts'", "shuffled control")
    assert read.rule("yes from", 0.25) == (
        "yes from 0.25: 0.25 of the retain facts' 1.00, over a shuffled control of 0.00"
    )


@pytest.mark.parametrize(
    ("reference", "chance", "says"), [(0.05, 0.0, False), (0.0625, 0.0, True), (0.5, 0.5, False)]
)
def test_a_fall_says_something_from_a_twentieth_over_chance(
    reference: float, chance: float, says: bool
) -> None:
    assert Scale(reference, chance).says == says


def test_a_row_rounds_its_value_and_an_answer_is_decided_unless_nothing_can_be_said() -> None:
    answer = Answer("Is it?", "yes", "verdict.n", 0.123456, "yes from 0.1", "said")
    assert answer.row == ("Is it?", "yes", "verdict.n", 0.1235, "yes from 0.1")
    assert answer.is_decided
    unknown = Answer("Is it?", f"{NO_POWER}: not asked", "verdict.n", None, "", "back")
    assert unknown.row[3] is None and not unknown.is_decided
