"""Answers that are common enough to be told apart by a probe."""

from worker.contract.facts import Fact
from worker.core.patching.shared_answers import MIN_PER_ANSWER, shared_answers


def facts(**answers: int) -> list[Fact]:
    """So many facts of each answer."""
    return [
        Fact(id=f"{answer}{i}", subject="A", prompt="{} is", target=answer)
        for answer, n in answers.items()
        for i in range(n)
    ]


def test_an_answer_is_shared_from_ten_facts_on_and_two_are_needed() -> None:
    assert MIN_PER_ANSWER == 10
    pool = facts(tennis=10, golf=12, chess=9)
    assert shared_answers(pool[:1], pool) == ["golf", "tennis"]
    assert shared_answers(pool[:1], facts(tennis=10, golf=9)) == []
    assert shared_answers(pool[:1], facts(tennis=30)) == []


def test_facts_of_none_of_the_shared_answers_have_none() -> None:
    pool = facts(tennis=10, golf=12, chess=9)
    assert shared_answers(facts(chess=2), pool) == []
    assert shared_answers(facts(chess=2, golf=1), pool) == ["golf", "tennis"]
    assert shared_answers([], pool) == []


def test_spaces_around_an_answer_make_no_other() -> None:
    pool = [*facts(tennis=10, golf=9), *facts(**{" golf ": 1})]
    assert shared_answers(facts(**{" tennis": 1}), pool) == ["golf", "tennis"]
