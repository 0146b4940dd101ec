from typing import Any

import pytest
import sqlalchemy as sa

from worker.contract.errors import Conflict, NotFound, UserError
from worker.store import passwords
from worker.store.people_tables import PersonRow
from worker.store.store import Store

GOOD = "a river of forgetting"


def test_a_password_is_kept_as_an_argon2id_hash_and_opens_the_account(store: Store) -> None:
    person = store.add_person(" Ada ", GOOD, "member")
    assert (person.name, person.role, person.disabled) == ("ada", "member", False)
    with store.database.read() as session:
        kept = session.scalar(sa.select(PersonRow.password))
    assert kept is not None and kept.startswith("$argon2id$")
    assert GOOD not in kept
    found = store.check_password("ADA", GOOD)
    assert found is not None and found == store.person("ada")
    assert store.check_password("ada", f"{GOOD} ") is None
    assert store.check_password("nobody", GOOD) is None


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("ada", GOOD, "There is a person 'ada' already"),
        ("Ada Lovelace", GOOD, "'Ada Lovelace' is no name for a person"),
        ("аda", GOOD, "is no name for a person"),  # a Cyrillic letter
        ("bob", "short", "has 5 characters; expected 10"),
        ("bob", "abababababab", "repeats 2 characters"),
        ("bob", "I am Bob and strong", "holds your name"),
    ],
)
def test_names_and_passwords_that_do_not_do_are_refused(
    store: Store, name: str, password: str, words: str
) -> None:
    store.add_person("ada", GOOD, "admin")
    with pytest.raises(UserError, match=words):
        store.add_person(name, password, "member")
    assert [person.name for person in store.people()] == ["ada"]


def test_who_is_shut_out_has_no_session_and_no_password_until_let_in_again(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    store.add_person("bob", GOOD, "member")
    secret, token = store.sign_in("bob", 60, "", ""), store.make_token("bob", "script", 60)
    store.set_disabled("bob", True)
    assert store.check_password("bob", GOOD) is None
    assert store.signed_in(secret) is None and store.sign_ins("bob") == []
    assert store.person_of_token(token) is None
    store.set_disabled("bob", False)
    assert store.check_password("bob", GOOD) is not None
    assert store.signed_in(secret) is None
    assert store.person_of_token(token) is not None


def test_the_last_admin_stays_admin(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    store.add_person("bob", GOOD, "admin")
    store.set_disabled("bob", True)
    for change in (
        lambda: store.set_role("ada", "member"),
        lambda: store.set_disabled("ada", True),
    ):
        with pytest.raises(Conflict, match="'ada' is the only admin"):
            change()
    assert store.set_role("ada", "admin").role == "admin", "who stays admin leaves nobody out"
    store.set_disabled("bob", False)
    assert store.set_role("ada", "viewer").role == "viewer"
    with pytest.raises(NotFound, match=r"No person 'bop'.*'bob'"):
        store.person("bop")


def test_a_new_password_ends_every_other_session(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    here, there = store.sign_in("ada", 60, "here", ""), store.sign_in("ada", 60, "there", "")
    own = store.signed_in(here)
    assert own is not None
    store.set_password("ada", f"another {GOOD}", keep=own[1].id)
    assert store.signed_in(here) is not None and store.signed_in(there) is None
    assert store.check_password("ada", GOOD) is None
    assert store.check_password("ada", f"another {GOOD}") is not None


def test_a_hash_of_another_cost_is_made_anew_when_its_password_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> Any:
        with store.database.read() as session:
            return session.scalar(sa.select(PersonRow.password))

    with monkeypatch.context() as before:
        before.setattr(passwords, "_hasher", passwords.PasswordHasher(time_cost=1))
        store.add_person("ada", GOOD, "admin")
    old = kept()
    assert store.check_password("ada", "something else") is None
    assert kept() == old
    assert store.check_password("ada", GOOD) is not None
    assert kept() != old and not passwords.is_stale(kept())
    assert store.check_password("ada", GOOD) is not None
