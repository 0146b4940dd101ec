"""The exceptions' tree, and what a UserError carries."""

import pytest

from worker.contract import errors
from worker.contract.errors import LetheError, UserError


def test_a_message_alone_is_one_problem_of_no_field() -> None:
    error = UserError("It is wrong.")
    assert error.problems == [("", "It is wrong.")]
    assert error.message == str(error) == "It is wrong."


def test_a_field_goes_with_its_sentence_and_problems_are_said_one_after_another() -> None:
    assert UserError("Wrong.", field="seed").problems == [("seed", "Wrong.")]
    both = UserError(problems=[("seed", "One."), ("model", "Two.")])
    assert both.problems == [("seed", "One."), ("model", "Two.")]
    assert both.message == "One. Two."


@pytest.mark.parametrize("name", ["NotFound", "Conflict", "NotFinite"])
def test_what_the_user_can_change_is_a_user_error(name: str) -> None:
    assert issubclass(getattr(errors, name), UserError)


@pytest.mark.parametrize("name", ["Unavailable", "Cancelled", "Diverged"])
def test_what_happens_to_a_run_is_no_user_error(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, LetheError)
    assert not issubclass(kind, UserError)
