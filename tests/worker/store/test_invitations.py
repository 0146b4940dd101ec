import pytest
import sqlalchemy as sa

from worker.contract.errors import NotFound, UserError
from worker.store import passwords
from worker.store.people_tables import InvitationRow
from worker.store.store import Store

GOOD = "a river of forgetting"


def test_an_invitation_makes_one_account_with_its_role(store: Store) -> None:
    secret = store.invite("viewer", 60, "ada")
    assert [(one.role, one.made_by) for one in store.invitations()] == [("viewer", "ada")]
    assert store.invitation(secret).id != secret
    with pytest.raises(UserError, match="characters"):
        store.accept(secret, "bob", "short")
    assert store.accept(secret, "Bob", GOOD).role == "viewer"
    assert store.check_password("bob", GOOD) is not None
    assert store.invitations() == []
    with pytest.raises(NotFound, match="does not hold"):
        store.accept(secret, "eve", GOOD)
    assert [person.name for person in store.people()] == ["bob"]


def test_a_name_that_is_taken_leaves_the_invitation_as_it_was(store: Store) -> None:
    store.add_person("bob", GOOD, "admin")
    secret = store.invite("member", 60, "bob")
    with pytest.raises(UserError, match="'bob' already"):
        store.accept(secret, "bob", f"{GOOD}, another")
    assert store.accept(secret, "eve", GOOD).role == "member"
    assert store.person("bob").role == "admin"


def test_an_invitation_that_was_withdrawn_or_has_expired_does_not_hold(store: Store) -> None:
    first, second = store.invite("member", 60, "ada"), store.invite("member", 60, "ada")
    store.withdraw(store.invitation(first).id)
    with store.database.write() as session:
        session.execute(sa.update(InvitationRow).values(expires=1.0))
    for secret in (first, second, "guessed"):
        with pytest.raises(NotFound, match="does not hold"):
            store.invitation(secret)
    assert store.invitations() == []
    with pytest.raises(NotFound, match="no such invitation"):
        store.withdraw("guessed")


def test_for_a_link_that_does_not_hold_no_hash_is_computed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(passwords, "hashed", lambda password: asked.append(password) or "x")
    with pytest.raises(NotFound, match="does not hold"):
        store.accept("guessed", "eve", GOOD)
    assert asked == []


def test_who_comes_second_by_a_moment_has_no_account(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = store.invite("member", 60, "ada")
    seen = store.invitation(secret)
    store.accept(secret, "bob", GOOD)
    monkeypatch.setattr(store, "invitation", lambda secret: seen)
    with pytest.raises(NotFound, match="does not hold"):
        store.accept(secret, "eve", GOOD)
    assert [person.name for person in store.people()] == ["bob"]
