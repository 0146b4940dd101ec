"""What a gradient method may be asked, and what it does unasked."""

import pytest
from pydantic import ValidationError

from worker.core.training.options import Training

NUMBERS = {
    # name: (default, lowest, highest, something below, something above)
    "steps": (100, 1, 10_000, 0, 10_001),
    "learning_rate": (2e-3, 1e-9, 1, 0, 1.01),
    "weight_decay": (0.0, 0, 1, -0.01, 1.01),
    "clip": (1.0, 1e-9, 1000, 0, 1000.5),
    "forget_batch": (16, 1, 512, 0, 513),
    "retain_batch": (16, 1, 512, 0, 513),
    "general_batch": (8, 1, 512, 0, 513),
    "accumulation": (1, 1, 256, 0, 257),
    "forget_weight": (1.0, 0, 1000, -0.01, 1000.5),
    "retain_weight": (1.0, 0, 1000, -0.01, 1000.5),
    "general_weight": (1.0, 0, 1000, -0.01, 1000.5),
    "retain_facts": (256, 1, 100_000, 0, 100_001),
    "general_sentences": (256, 1, 100_000, 0, 100_001),
    "context": (100, 8, 8192, 7, 8193),
    "probe_every": (10, 1, 10_000, 0, 10_001),
    "stop_goal": (0.0, 0, 1, -0.01, 1.01),
    "retain_floor": (0.25, 0, 1, -0.01, 1.01),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_its_default_and_is_taken_up_to_its_bounds_alone(name: str) -> None:
    default, lowest, highest, below, above = NUMBERS[name]
    assert getattr(Training(), name) == default
    for value in (lowest, highest):
        assert getattr(Training.model_validate({name: value}), name) == value
    for value in (below, above):
        with pytest.raises(ValidationError, match=name):
            Training.model_validate({name: value})


def test_seconds_have_no_upper_bound_and_words_are_those_that_mean_something() -> None:
    options = Training()
    assert (options.keep, options.search, options.general_loss) == ("best", "auto", "auto")
    assert (options.max_seconds, options.general_text) == (0.0, "")
    assert Training(max_seconds=1e9).max_seconds == 1e9
    for wrong in (
        {"max_seconds": -1},
        {"keep": "first"},
        {"search": "large"},
        {"general_loss": "kl"},
        {"rate": 1},
    ):
        with pytest.raises(ValidationError):
            Training.model_validate(wrong)
    with pytest.raises(ValidationError, match="general_text"):
        Training(general_text="x" * 1_000_001)


def test_every_option_is_listed_here_and_described_to_the_reader() -> None:
    named = {*NUMBERS, "general_loss", "general_text", "keep", "max_seconds", "search"}
    assert set(Training.model_fields) == named
    assert all(len(field.description or "") > 20 for field in Training.model_fields.values())


def test_the_rate_goes_by_the_width_and_a_method_may_add_to_that() -> None:
    assert Training.BY_WIDTH == ("learning_rate",) and Training.REHEARSED == {}
    assert not {"BY_WIDTH", "REHEARSED"} & set(Training.model_fields)
