from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.contract.errors import NotFound, UserError
from worker.contract.mask import Mask
from worker.store.store import Store

MASK = Mask(components=("blocks.1.mlp", "blocks.2.mlp"), n_parameters=20, source="by hand")


def test_saving_under_the_same_name_makes_the_next_version(store: Store) -> None:
    first = store.save_mask("lookup", "demo", MASK, localization="12ab", owner="ann")
    second = store.save_mask(" lookup ", "demo", Mask(components=("blocks.0.attn",)))
    assert [(m.name, m.version) for m in store.masks()] == [("lookup", 2), ("lookup", 1)]
    assert store.mask(first.id) == first
    assert (first.components, first.n_parameters) == (MASK.components, 20)
    store.delete_mask(second.id)
    assert store.masks("demo") == [first] and store.masks("other") == []


def test_versions_saved_at_once_are_all_different(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        saved = list(threads.map(lambda n: store.save_mask("lookup", "demo", MASK), range(8)))
    assert sorted(mask.version for mask in saved) == list(range(1, 9))


def test_who_saves_a_name_holds_the_lock_of_that_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one writer at a time anyway; a database with several needs it."""
    held: list[str] = []
    monkeypatch.setattr(store.database, "lock", lambda session, name: held.append(name))
    store.save_mask(" mine ", "demo", Mask(components=("blocks.0.mlp",)))
    assert held == ["mask mine"]


def test_a_mask_that_is_not_there_or_has_no_name_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        store.mask("none")
    with pytest.raises(NotFound):
        store.delete_mask("none")
    with pytest.raises(UserError, match="no name"):
        store.save_mask("  ", "demo", MASK)


def test_a_name_has_at_most_two_hundred_letters(store: Store) -> None:
    assert store.save_mask(f" {'a' * 200} ", "demo", MASK).name == "a" * 200
    with pytest.raises(UserError, match="expected 1 to 200 characters"):
        store.save_mask("a" * 201, "demo", MASK)
