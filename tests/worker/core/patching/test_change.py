"""A fact's metric clean and corrupted: whether they differ, and which way."""

import pytest
import torch

from worker.core.patching.change import Change
from worker.core.rounding import rounding_at


@pytest.mark.parametrize(
    ("clean", "corrupted", "is_none", "is_raised"),
    [
        (2.0, 1.5, False, False),
        (1.5, 2.0, False, True),
        (2.0, 1.75, True, False),
        (1.75, 2.0, True, False),
        (-2.0, -2.0, True, False),
        (0.25, -0.25, False, False),
    ],
)
def test_a_difference_of_no_more_than_rounding_is_none_and_else_lost_or_raised(
    clean: float, corrupted: float, is_none: bool, is_raised: bool
) -> None:
    change = Change(clean, corrupted, rounding=0.25)
    assert change.difference == clean - corrupted
    assert (change.is_none, change.is_raised) == (is_none, is_raised)


def test_the_bound_grows_with_the_size_of_the_values_and_the_dtypes_step() -> None:
    assert Change(clean=20.0, corrupted=20.0, rounding=0.0).is_none
    assert rounding_at(20.0, torch.float32) == pytest.approx(3.8e-5, rel=0.01)
    assert rounding_at(20.0, torch.bfloat16) > 10_000 * rounding_at(20.0, torch.float32)
