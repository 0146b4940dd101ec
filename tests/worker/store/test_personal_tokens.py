import pytest
import sqlalchemy as sa

from worker.contract.errors import NotFound, UserError
from worker.store.people_tables import PersonalTokenRow
from worker.store.personal_tokens import MOST
from worker.store.store import Store

GOOD = "a river of forgetting"


def test_a_token_is_its_persons_until_it_is_revoked_or_expires(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    store.add_person("bob", GOOD, "member")
    first, second = (store.make_token("ada", name, 60) for name in ("laptop", "cluster"))
    assert first.startswith("lethe_")
    person, id = store.person_of_token(first) or (None, "")
    assert person == store.person("ada") and id != first and store.token_holds(id)
    assert store.person_of_token(id) is None
    with pytest.raises(NotFound, match="no such token of yours"):
        store.revoke_token("bob", id)
    store.revoke_token("ada", id)
    assert store.person_of_token(first) is None and not store.token_holds(id)
    assert [token.name for token in store.tokens("ada")] == ["cluster"]
    with store.database.write() as session:
        session.execute(sa.update(PersonalTokenRow).values(expires=1.0))
    assert store.person_of_token(second) is None and store.tokens("ada") == []


def test_a_token_says_when_it_was_used_last(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    token = store.make_token("ada", "laptop", 60)
    assert store.tokens("ada")[0].last_used is None
    store.person_of_token(token)
    used = store.tokens("ada")[0].last_used
    assert used is not None and used >= store.tokens("ada")[0].created


def test_a_token_has_a_name_and_there_are_not_more_than_can_be_looked_through(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    for name in ("", " ", "a" * 101, "a\nb"):
        with pytest.raises(UserError, match="no name for a token"):
            store.make_token("ada", name, 60)
    assert store.make_token("ada", "a" * 100, 60)
    for number in range(MOST - 1):
        store.make_token("ada", f"{number}", 60)
    with pytest.raises(UserError, match=f"There are {MOST} tokens already"):
        store.make_token("ada", "one more", 60)
