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
