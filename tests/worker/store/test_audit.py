import pytest

from worker.store import audit
from worker.store.store import Store


def test_entries_are_read_newest_first_and_by_person(store: Store) -> None:
    store.note("ada", "deleted a run", "r1", "10.0.0.7")
    store.note("bob", "queued a run", "r2", "10.0.0.8")
    store.note("ada", "queued a run", "r3", "10.0.0.7")
    assert [entry.about for entry in store.audit()] == ["r3", "r2", "r1"]
    assert [entry.about for entry in store.audit(limit=1, offset=1)] == ["r2"]
    only = store.audit("bob")
    assert [(one.person, one.what, one.about, one.address) for one in only] == [
        ("bob", "queued a run", "r2", "10.0.0.8")
    ]
    assert (store.count_audit(), store.count_audit("ada")) == (3, 2)


def test_the_whole_log_is_read_a_part_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "AT_ONCE", 2)
    for number in range(5):
        store.note("ada", "did", f"{number}" * 3000, "")
    found = list(store.whole_audit())
    assert [entry.about[0] for entry in found] == list("43210")
    assert {len(entry.about) for entry in found} == {audit.LONGEST}
    assert list(store.whole_audit("bob")) == []


def test_what_is_long_is_cut_and_fifty_are_read_at_once(store: Store) -> None:
    for _ in range(51):
        store.note("p" * 300, "w" * 300, "a" * 3000, "1" * 300)
    found = store.audit()
    assert len(found) == 50
    one = found[0]
    lengths = [len(text) for text in (one.person, one.what, one.about, one.address)]
    assert lengths == [255, 255, 2000, 255]
