"""What crosses a border is frozen and exact, and what is wrong with it is said in one sentence."""

import pytest
from pydantic import Field, ValidationError

from worker.contract.base import Contract, Options, parse, unknown
from worker.contract.errors import UserError


class Inner(Options):
    rate: float = Field(0.5, gt=0)


class Outer(Contract):
    name: str
    inner: Inner = Inner()


def problems(data: object, where: str = "") -> list[tuple[str, str]]:
    with pytest.raises(UserError) as caught:
        parse(Outer, data, where)
    return caught.value.problems


def test_a_contract_is_frozen_and_takes_neither_more_keys_nor_numbers_that_are_none() -> None:
    one = Outer(name="a")
    with pytest.raises(ValidationError, match="frozen"):
        one.name = "b"
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="finite"):
            Inner(rate=wrong)


def test_what_is_sound_is_given_back_with_its_defaults() -> None:
    assert parse(Outer, {"name": "a"}) == Outer(name="a", inner=Inner(rate=0.5))


def test_each_field_has_its_own_sentence_under_its_dotted_path() -> None:
    found = dict(problems({"inner": {"rate": -1, "rat": 2}}, "options"))
    assert set(found) == {"options.name", "options.inner.rate", "options.inner.rat"}
    assert found["options.name"] == "options.name is missing; expected a value. Add it."
    assert found["options.inner.rate"].startswith("options.inner.rate is -1: input should be")
    assert found["options.inner.rat"].startswith("No field 'rat'.")


def test_a_path_has_no_dot_before_it_where_nothing_stands_above() -> None:
    assert problems({})[0][0] == "name"
    assert problems(3, "spec")[0][0] == "spec"


@pytest.mark.parametrize(("length", "shown"), [(78, True), (79, False), (500, False)])
def test_a_long_value_is_cut_at_eighty_characters(length: int, shown: bool) -> None:
    value = ["x" * (length - 2)]  # its repr has two characters of brackets and two of quotes more
    [(_, sentence)] = problems({"name": value})
    said = sentence.removeprefix("name is ").partition(": input")[0]
    assert len(said) <= 80
    assert (said == repr(value)) == shown
    assert said.endswith("'...") is False
    assert said.endswith("...") != shown


def test_an_unknown_name_is_answered_with_the_nearest_and_with_what_there_is() -> None:
    error = unknown("method", "romme", ["memit", "rome"], field="method")
    assert error.problems == [
        ("method", "No method 'romme'. Did you mean 'rome'? There are: memit, rome.")
    ]
    assert unknown("method", "zz", ["rome"]).message == "No method 'zz'. There are: rome."
    assert unknown("method", "zz", []).message == "No method 'zz'. There are: none."


@pytest.mark.parametrize(("n", "end"), [(20, "n19."), (21, "n19, ….")])
def test_a_long_list_of_names_ends_after_twenty(n: int, end: str) -> None:
    names = [f"n{i:02d}" for i in range(n)]
    assert unknown("fact", "q", names).message.endswith(end)
