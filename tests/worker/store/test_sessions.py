from worker.store.store import Store


def test_a_session_is_ended_until_it_would_have_expired(store: Store) -> None:
    store.end_session("one", 4e9)
    store.end_session("one", 4e9)
    assert store.is_ended("one")
    assert not store.is_ended("two")
    store.end_session("old", 1.0)
    store.end_session("two", 4e9)
    assert not store.is_ended("old")
    assert store.is_ended("one")
