"""What is known of something goes with it, and is asked once while it lives."""

import gc
import weakref

from worker.core.kept import once_for_each


class Thing:
    pass


def test_each_thing_and_each_question_is_asked_once() -> None:
    asked = []

    @once_for_each
    def measure(of: Thing, much: int, more: int = 0) -> int:
        asked.append((of, much, more))
        return much + more

    one, other = Thing(), Thing()
    assert [measure(one, 1), measure(one, 1), measure(one, 1, more=2), measure(other, 1)] == [
        1, 1, 3, 1,
    ]  # fmt: skip
    assert asked == [(one, 1, 0), (one, 1, 2), (other, 1, 0)]


def test_an_answer_that_is_none_is_an_answer() -> None:
    asked = []

    @once_for_each
    def measure(of: Thing) -> None:
        asked.append(of)

    thing = Thing()
    assert measure(thing) is None and measure(thing) is None
    assert asked == [thing]


def test_what_was_asked_keeps_nothing_alive() -> None:
    @once_for_each
    def measure(of: Thing) -> int:
        return 1

    thing = Thing()
    measure(thing)
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None
