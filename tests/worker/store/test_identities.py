"""People who sign in by a provider: one account for an identity, and no password beside it."""

import pytest

from worker.contract.errors import Conflict, NotFound
from worker.store.identities import identity
from worker.store.store import Store

GOOD = "a river of forgetting"
GRACE = identity("https://a.example", "g")


def test_an_identity_is_its_issuer_and_its_subject() -> None:
    others = {
        identity("https://a.example", "h"),
        identity("https://b.example", "g"),
        identity("https://a.example\ng", ""),
        GRACE,
    }
    assert len(others) == 4 and all(one.startswith("oidc:") for one in others)
    assert identity("https://a.example", "g") == GRACE


def test_an_account_is_made_once_and_found_by_its_identity_alone(store: Store) -> None:
    made = store.add_by_identity("Grace Hopper", GRACE, "viewer")
    assert (made.name, made.role, made.by_provider) == ("grace-hopper", "viewer", True)
    assert store.add_by_identity("Somebody", GRACE, "admin") == made
    assert store.person_of_identity(GRACE) == made
    assert store.person_of_identity(identity("https://a.example", "other")) is None


@pytest.mark.parametrize(
    ("wish", "name"),
    [("ada", "ada-2"), ("Åsa Öz", "sa-z"), ("42", "person"), ("", "person"), ("x" * 80, "x" * 30)],
)
def test_the_name_is_the_free_one_nearest_to_what_the_provider_calls_them(
    store: Store, wish: str, name: str
) -> None:
    store.add_person("ada", GOOD, "admin")
    assert store.add_by_identity(wish, GRACE, "viewer").name == name


def test_no_password_opens_an_account_of_an_identity_until_one_is_set(store: Store) -> None:
    store.add_by_identity("grace", GRACE, "viewer")
    for tried in ("", GRACE, GOOD):
        assert store.check_password("grace", tried) is None
    store.set_password("grace", GOOD)
    assert store.check_password("grace", GOOD) is not None
    assert store.person_of_identity(GRACE) is None


def test_an_identity_opens_one_account(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    store.add_person("max", GOOD, "member")
    store.link("ada", GRACE)
    store.link("ada", GRACE)
    assert store.check_password("ada", GOOD) is None and store.person("ada").by_provider
    with pytest.raises(Conflict, match="opens the account 'ada' already"):
        store.link("max", GRACE)
    assert store.check_password("max", GOOD) is not None


def test_an_invitation_is_used_once_also_by_an_identity(store: Store) -> None:
    secret = store.invite("member", 600, "ada")
    made = store.accept_by_identity(secret, "grace", GRACE)
    assert (made.name, made.role) == ("grace", "member") and store.invitations() == []
    with pytest.raises(NotFound, match="does not hold"):
        store.accept_by_identity(secret, "other", identity("https://a.example", "o"))
