import pytest

from worker.contract.errors import UserError
from worker.contract.people import ROLES, check_new_password, person_name, role_of


def test_names_are_kept_in_one_way_of_writing() -> None:
    assert person_name("  Ada.L-1_x ") == "ada.l-1_x"
    for name in ("", "1a", "a b", "a/b", "é", "a" * 41, ".."):
        with pytest.raises(UserError, match="no name for a person"):
            person_name(name)


def test_roles_are_known_by_name_alone() -> None:
    assert [role_of(role) for role in ROLES] == ["viewer", "member", "admin"]
    with pytest.raises(UserError, match="'admin'"):
        role_of("admn")


def test_a_short_name_may_stand_in_a_password_by_chance() -> None:
    check_new_password("water and meadows", "a")
    with pytest.raises(UserError, match="holds your name"):
        check_new_password("WATER and meadows", "water")
    with pytest.raises(UserError, match="1001 characters"):
        check_new_password("0123456789a" * 91, "bob")


def test_five_different_characters_and_ten_in_all_do() -> None:
    check_new_password("abcdeabcde", "zoe")
    for password in ("abcdabcdab", "abcdefghi"):
        with pytest.raises(UserError) as error:
            check_new_password(password, "zoe")
        assert error.value.problems[0][0] == "password"


def test_a_name_of_three_letters_may_not_stand_in_a_password_and_one_of_two_may() -> None:
    check_new_password("bo sees a river", "bo")
    with pytest.raises(UserError, match="holds your name"):
        check_new_password("bob sees a river", "bob")


def test_what_is_wrong_is_said_beside_its_field() -> None:
    for field, wrong in (("name", lambda: person_name("1")), ("role", lambda: role_of("x" * 99))):
        with pytest.raises(UserError) as error:
            wrong()
        assert error.value.problems[0][0] == field
    assert "x" * 50 in error.value.message and "x" * 51 not in error.value.message
