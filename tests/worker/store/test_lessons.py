"""What readers of lessons answered is kept by reader, lesson, step and fact."""

from worker.store.lessons import Answered
from worker.store.store import Store


def test_the_first_answer_stays_and_the_last_is_beside_it(store: Store) -> None:
    store.answer_lesson("ada", "where", 1, "")  # read before anything was answered
    store.answer_lesson("ada", "where", 1, "", given="2")
    store.answer_lesson("ada", "where", 1, "", given="5", right=True)
    store.answer_lesson("ada", "where", 1, "", given="6")
    store.answer_lesson("ada", "where", 1, "", shown=True)
    (kept,) = store.lesson_answers("ada")
    assert (kept.first, kept.given, kept.attempts) == ("2", "6", 3)
    assert kept.right and kept.shown and kept.updated > 0


def test_another_fact_lesson_or_reader_is_apart(store: Store) -> None:
    store.answer_lesson("ada", "where", 2, "", given="a")
    store.answer_lesson("ada", "where", 2, "f" * 64, about="Ty Cobb plays", given="b")
    store.answer_lesson("ada", "heads", 1, "", given="c")
    store.answer_lesson("bob", "where", 1, "", given="d")
    assert [one.given for one in store.lesson_answers("ada", "where")] == ["a", "b"]
    assert [one.given for one in store.lesson_answers("ada")] == ["c", "a", "b"]
    assert len(store.class_answers()) == 4 and store.lesson_answers("eve") == []


def test_a_reader_has_the_last_name_that_they_gave(store: Store) -> None:
    store.name_reader("ada", "Ada")
    store.name_reader("ada", "Ada L.")
    assert store.lesson_readers() == {"ada": "Ada L."}


def test_an_answer_is_neither_right_nor_shown_unless_that_is_said(store: Store) -> None:
    store.answer_lesson("ada", "where", 1, "", given="2")
    (kept,) = store.lesson_answers("ada")
    assert (kept.right, kept.shown) == (False, False)


def test_who_has_read_a_step_alone_has_answered_nothing() -> None:
    read = Answered("ann", "first", 0)
    assert (read.about, read.first, read.given, read.attempts) == ("", "", "", 0)
    assert (read.right, read.shown, read.updated) == (False, False, 0.0)
