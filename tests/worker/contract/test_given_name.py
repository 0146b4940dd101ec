"""Names stand in addresses: each that is taken can be asked for again."""

import pytest

from worker.contract.errors import UserError
from worker.contract.given_name import given_name


@pytest.mark.parametrize(
    "name", ["", "  ", ".", "..", "a/b", "../x", "a\\b", "a\r\nX: y", "\x7f", "x" * 101]
)
def test_a_name_that_no_address_can_hold_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a fact set: expected") as caught:
        given_name(name, "fact set")
    assert caught.value.problems[0][0] == "name"


@pytest.mark.parametrize(
    "name", ["my-athletes", "=1+1", 'a"b', "ü 猫", "...", "%0d", "a?b#c", "-x"]
)
def test_any_other_name_is_taken_without_spaces_around_it(name: str) -> None:
    assert given_name(f" {name}\n", "fact set") == name


def test_the_longest_name_is_taken_and_what_is_refused_is_told_where_and_with_a_cure() -> None:
    assert given_name("x" * 100, "fact set") == "x" * 100
    with pytest.raises(UserError) as caught:
        given_name("a/" + "b" * 70, "fact set", "title")
    assert caught.value.problems[0][0] == "title"
    assert caught.value.message == (
        f"{'a/' + 'b' * 58!r} is no name for a fact set: expected no slash. An example is my-set."
    )


def test_a_path_is_a_name_where_an_address_holds_paths() -> None:
    assert given_name("b/c.d", "text", is_path=True) == "b/c.d"
    for name in ("a/../b", "a//b", "/a", "./a", "a\\b"):
        with pytest.raises(UserError, match="is no name for a text: expected"):
            given_name(name, "text", is_path=True)
