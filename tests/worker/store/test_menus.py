import pytest
import sqlalchemy as sa

from tests.worker.store.test_workers import claim, says, silence
from worker.contract.menu import Announcement
from worker.store import menus
from worker.store.store import Store


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The announcements that were read from the database while the test ran."""
    found: list[object] = []
    validate = Announcement.model_validate

    def counted(data: object) -> Announcement:
        found.append(data)
        return validate(data)

    monkeypatch.setattr(Announcement, "model_validate", counted)
    return found


def test_an_announcement_is_read_once_however_often_it_is_asked_for(
    store: Store, parsed: list[object]
) -> None:
    for id in ("w1", "w2"):
        claim(store, id)
        store.announce(id, f"of {id}", says(id))
    for _ in range(3):
        assert store.menus() == {"w1": says("w1"), "w2": says("w2")}
        assert store.announcement() is not None
    assert len(parsed) == 2


def test_what_is_announced_anew_is_read_anew_even_within_one_tick_of_the_clock(
    store: Store, parsed: list[object]
) -> None:
    claim(store, "w1")
    with store.database.write() as session:  # a clock that stands, and is ahead of the database's
        session.execute(sa.text("UPDATE workers SET announced = 9e9"))
    for device in ("cpu", "cuda:0", "cuda:1"):
        store.announce("w1", "of w1", says(device))
        assert store.menus() == {"w1": says(device)}
    assert len(parsed) == 3


def test_a_worker_that_is_gone_is_left_out_and_known_when_it_comes_back(
    store: Store, parsed: list[object]
) -> None:
    for id in ("w1", "w2"):
        claim(store, id)
        store.announce(id, f"of {id}", says(id))
    store.menus()
    silence(store, "w1")
    assert store.menus() == {"w2": says("w2")}
    assert {one.id: one.announcement for one in store.workers()} == {
        "w1": says("w1"), "w2": says("w2")
    }  # fmt: skip
    store.beat("w1", "of w1")
    assert store.menus() == {"w1": says("w1"), "w2": says("w2")}
    assert len(parsed) == 2


def test_what_the_last_worker_said_is_read_once_while_nobody_is_alive(
    store: Store, parsed: list[object]
) -> None:
    claim(store, "w1")
    assert store.announcement() is None and store.workers()[0].announcement is None
    store.announce("w1", "of w1", says("cpu"))
    silence(store, "w1")
    for _ in range(3):
        assert store.announcement() == says("cpu") and store.menus() == {}
    assert len(parsed) == 1


def test_of_many_workers_those_asked_for_last_are_kept(
    store: Store, parsed: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menus, "KEPT", 1)
    for id in ("w1", "w2"):
        claim(store, id)
        store.announce(id, f"of {id}", says(id))
        assert store.menus()[id] == says(id)
    silence(store, "w1")
    store.menus()
    assert len(parsed) == 2
    store.beat("w1", "of w1")
    assert store.menus() == {"w1": says("w1"), "w2": says("w2")}
    assert len(parsed) == 3


def test_one_worker_that_announces_anew_makes_nobody_elses_be_read_again(
    store: Store, parsed: list[object]
) -> None:
    for id in ("w1", "w2"):
        claim(store, id)
        store.announce(id, f"of {id}", says(id))
    store.menus()
    store.announce("w2", "of w2", says("other"))
    assert store.menus() == {"w1": says("w1"), "w2": says("other")}
    assert len(parsed) == 3
