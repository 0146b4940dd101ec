import pytest
import sqlalchemy as sa

from worker.contract.errors import NotFound
from worker.store.people_tables import SignInRow
from worker.store.store import Store

GOOD = "a river of forgetting"


def _age(store: Store, **columns: float) -> None:
    with store.database.write() as session:
        session.execute(sa.update(SignInRow).values(**columns))


def test_a_session_is_known_by_a_secret_that_the_table_does_not_hold(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    secret = store.sign_in("ada", 60, "10.0.0.7", "Firefox")
    found = store.signed_in(secret)
    assert found is not None
    person, session = found
    assert person == store.person("ada")
    assert (session.address, session.browser) == ("10.0.0.7", "Firefox")
    assert (session.expires - session.created).total_seconds() == pytest.approx(60)
    assert session.id != secret and store.signed_in(session.id) is None
    assert store.is_signed_in(session.id)
    assert store.sign_ins("ada") == [session]
    long = store.signed_in(store.sign_in("ada", 60, "1" * 300, "b" * 300))
    assert long is not None and (len(long[1].address), len(long[1].browser)) == (255, 255)


def test_a_session_ends_when_it_is_ended_or_expires(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    store.add_person("bob", GOOD, "member")
    first, second = store.sign_in("ada", 60, "", ""), store.sign_in("ada", 60, "", "")
    found = store.signed_in(first)
    assert found is not None
    with pytest.raises(NotFound, match="no such session of yours"):
        store.end_sign_in("bob", found[1].id)
    store.end_sign_in("ada", found[1].id)
    assert store.signed_in(first) is None and not store.is_signed_in(found[1].id)
    assert store.signed_in(second) is not None
    _age(store, expires=1.0)
    assert store.signed_in(second) is None and store.sign_ins("ada") == []
    store.sign_in("bob", 60, "", "")
    with store.database.read() as session:
        assert list(session.scalars(sa.select(SignInRow.person))) == ["bob"]


def test_when_a_session_was_seen_last_is_written_no_more_than_each_minute(store: Store) -> None:
    store.add_person("ada", GOOD, "admin")
    secret = store.sign_in("ada", 600, "", "")
    first = store.sign_ins("ada")[0].last_seen
    store.signed_in(secret)
    assert store.sign_ins("ada")[0].last_seen == first
    _age(store, last_seen=1.0)
    store.signed_in(secret)
    assert store.sign_ins("ada")[0].last_seen >= first
