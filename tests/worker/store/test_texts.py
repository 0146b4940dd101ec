"""Stored texts."""

import pytest

from worker.contract.errors import NotFound, UserError
from worker.contract.texts import piece_bounds
from worker.store import texts
from worker.store.store import Store


def test_a_text_is_stored_listed_read_and_deleted(store: Store) -> None:
    info = store.save_text("saga of mine", "Zoë went home.")
    store.save_text("the same", "Zoë went home.")
    assert (info.n_characters, info.n_words) == (14, 3)
    assert [one.name for one in store.texts()] == ["saga of mine", "the same"]
    assert store.text_file("the same") == store.text_file("saga of mine")
    with store.artifacts.open(store.text_file("the same")) as file:
        assert file.read() == "Zoë went home.".encode()
    store.delete_text("saga of mine")
    assert store.text("the same") == "Zoë went home."
    store.delete_text("the same")
    assert store.texts() == []
    assert store.artifacts.names("texts") == [], "its pieces' bounds go with it"
    with pytest.raises(NotFound, match=r"No text 'the same'.*saga"):
        store.text("the same")


BOOK = "\n\n".join(f"{i}. Zoë – “the wolf” 🐺. " + "Word by word. " * (i % 200) for i in range(90))


def forget_bounds(store: Store) -> None:
    """Leave a text as it lies where it was stored before bounds were."""
    (bounds,) = (one for one in store.artifacts.names("texts") if one.endswith(".bounds"))
    store.artifacts.delete_tree(bounds)


@pytest.mark.parametrize("is_old", [False, True])
def test_the_pieces_of_a_text_are_cut_once_and_read_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    expected = [BOOK[start:stop] for start, stop in piece_bounds(BOOK)]
    cut: list[int] = []
    monkeypatch.setattr(texts, "piece_bounds", lambda text: cut.append(0) or piece_bounds(text))
    store.save_text("book", BOOK)
    if is_old:
        forget_bounds(store)
    read: list[str] = []
    whole = store.text
    monkeypatch.setattr(store, "text", lambda name: read.append(name) or whole(name))
    total = len(expected)
    for offset in (0, 7, total - 3, total - 1):
        found = store.text_pieces("book", offset, 5)
        assert found == (expected[offset : offset + 5], offset, total)
    assert store.text_pieces("book", total + 9, 5) == (expected[-1:], total - 1, total)
    assert store.text_pieces("book", -4, 2) == (expected[:2], 0, total)
    assert (len(cut), len(read)) == ((2, 1) if is_old else (1, 0))


@pytest.mark.parametrize("name", ["", "saga", "x" * 101, "a\nb", "taken"])
def test_a_name_that_a_text_cannot_have_is_refused(store: Store, name: str) -> None:
    store.save_text("taken", "words")
    with pytest.raises(UserError, match="name"):
        store.save_text(name, "words")
    assert [one.name for one in store.texts()] == ["taken"]
