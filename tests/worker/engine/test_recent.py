"""What is made of an object is made once while the object is among those asked for last."""

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.engine.recent import Recent

Letters = tuple[str, ...]


@pytest.fixture
def made() -> list[Letters]:
    return []


@pytest.fixture
def recent(made: list[Letters]) -> Recent[Letters, str]:
    """Joins letters; keeps three."""

    def make(letters: Letters) -> str:
        made.append(letters)
        return "".join(letters)

    return Recent(3, make)


def test_the_same_object_is_made_once_and_an_equal_one_anew(
    recent: Recent[Letters, str], made: list[Letters]
) -> None:
    first, equal = tuple("ab"), tuple("ab")
    assert [recent(first), recent(first), recent(equal), recent(equal)] == ["ab"] * 4
    assert len(made) == 2 and made[0] is first and made[1] is equal


def test_as_many_are_kept_as_were_asked_for_and_the_one_asked_longest_ago_goes(
    recent: Recent[Letters, str], made: list[Letters]
) -> None:
    a, b, c, d = (tuple(f"{letter}!") for letter in "abcd")
    for one in (a, b, c, a, b, c):
        recent(one)
    assert made == [a, b, c]
    recent(a)
    recent(d)  # b was asked for longest ago
    for one in (a, c, d):
        recent(one)
    assert made == [a, b, c, d]
    assert recent(b) == "b!" and made == [a, b, c, d, b]


def test_an_object_that_was_let_go_is_never_taken_for_another(recent: Recent[Letters, str]) -> None:
    for number in range(200):
        assert recent(tuple(str(number))) == str(number)
        gc.collect(0)


def test_a_making_that_fails_is_tried_again(made: list[Letters]) -> None:
    def make(letters: Letters) -> str:
        made.append(letters)
        if len(made) == 1:
            raise ValueError("no")
        return "".join(letters)

    recent, given = Recent(2, make), tuple("ab")
    with pytest.raises(ValueError, match="no"):
        recent(given)
    assert recent(given) == "ab"


def test_threads_that_ask_together_get_their_own(recent: Recent[Letters, str]) -> None:
    given = [tuple(f"{number}") for number in range(8)] * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(recent, given)) == ["".join(one) for one in given]
