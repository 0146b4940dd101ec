from concurrent.futures import ThreadPoolExecutor

import pytest

from app.access import attempts
from app.access.passwords import Passwords
from tests.app.conftest import AskedEngine
from tests.app.people import GOOD, settle
from worker.contract.people import Person
from worker.store.store import Store


@pytest.fixture
def store(engine: AskedEngine, monkeypatch: pytest.MonkeyPatch) -> Store:
    settle(engine.store)
    monkeypatch.setattr(attempts, "FIRST", 60.0)
    return engine.store


def test_the_right_password_gives_its_person_and_forgets_the_wrong_ones(store: Store) -> None:
    passwords = Passwords()
    for _ in range(2):
        for _ in range(3):
            assert passwords.check(store, "max", "wrong", "10.0.0.1") == 0.0
        found = passwords.check(store, "Max", GOOD, "10.0.0.1")
        assert isinstance(found, Person) and found.name == "max"


def test_many_tries_at_once_are_looked_at_no_more_often_than_one_after_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(store, "check_password", lambda name, given: looked.append(given))
    passwords = Passwords()
    with ThreadPoolExecutor(12) as threads:
        found = list(
            threads.map(lambda n: passwords.check(store, "max", n, n), map(str, range(12)))
        )
    assert len(looked) == attempts.FREE
    assert sum(one == 0.0 for one in found) == attempts.FREE


def test_an_address_that_tries_one_name_after_another_waits_too(store: Store) -> None:
    passwords = Passwords()
    for number in range(attempts.FREE):
        assert passwords.check(store, f"nobody-{number}", "wrong", "10.0.0.1") == 0.0
    assert isinstance(wait := passwords.check(store, "max", GOOD, "10.0.0.1"), float) and wait > 0
    assert isinstance(passwords.check(store, "max", GOOD, "10.0.0.2"), Person)
