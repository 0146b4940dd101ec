"""Turns at the lane: everybody's first question comes before anybody's second."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, cast

import pytest

from worker.contract.inputs import AskReadFacts
from worker.engine.asked import LATE, NEWER, Asked, Over, Readers
from worker.engine.slot import Slot
from worker.engine.turns import Turn, Turns, person_of
from worker.engine.wire import Failed

ANSWER = Failed(job="j", kind="bug", message="KeyError")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(within())


def served(turns: Turns, waiting: list[Turn]) -> list[str]:
    """End turn after turn; who had each."""
    order = []
    while waiting:
        (now,) = [one for one in waiting if one.came.done()]
        order.append(now.person)
        waiting.remove(now)
        turns.end(now)
    return order


def test_ten_readers_at_once_have_their_turns_one_after_another() -> None:
    async def test() -> None:
        turns, people = Turns(), [f"reader {i}" for i in range(10)]
        waiting = [turns.join(one) for one in people for _ in range(3)]
        order = served(turns, waiting)
        assert order[0] == "reader 0"
        for begin in range(0, 30, 10):
            assert sorted(order[begin : begin + 10]) == people, "nobody twice before all once"

    run(test)


def test_who_comes_late_waits_for_one_question_of_who_asked_many() -> None:
    async def test() -> None:
        turns = Turns()
        many = [turns.join("many") for _ in range(5)]
        turns.end(many.pop(0))
        one = turns.join("one")
        assert served(turns, [*many, one]) == ["many", "one", "many", "many", "many"]

    run(test)


def test_places_are_told_when_they_change_and_only_then() -> None:
    async def test() -> None:
        turns, told = Turns(), list[tuple[str, int]]()

        def join(person: str) -> Turn:
            return turns.join(person, lambda before: told.append((person, before)))

        first, second, third = join("a"), join("b"), join("b")
        assert told == [("b", 1), ("b", 2)]
        fourth = join("c")
        assert told[2:] == [("b", 3), ("c", 2)] or told[2:] == [("c", 2), ("b", 3)]
        del told[:]
        turns.end(second)  # left while it waited
        assert told == [("b", 1)] or told == [("b", 1), ("c", 2)]
        turns.end(first)
        assert third.came.done() or fourth.came.done()
        turns.end(third)
        turns.end(fourth)
        turns.end(fourth)
        assert join("d").came.done()

    run(test)


def test_a_readers_tabs_and_views_are_one_person() -> None:
    assert person_of("session:tab:lens") == person_of("session:other:heads") == "session"
    assert person_of("") == ""


class Answering:
    """A slot that answers each question when the test says so."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def ask(self, job: str, question: Any, hear: Any) -> "Future[Any]":
        self.futures.append(Future())
        return self.futures[-1]

    def drop(self, job: str) -> bool:
        return True


async def until(holds: Callable[[], Any]) -> None:
    while not holds():
        await asyncio.sleep(0)


def test_a_question_is_given_to_the_process_in_its_turn_and_hears_its_place_before() -> None:
    async def test() -> None:
        slot, turns, readers = Answering(), Turns(), Readers()

        def ask(reader: str, timeout: float = 60.0) -> tuple[Asked, asyncio.Task[Any]]:
            asked = Asked(cast(Slot, slot), timeout, turns, reader)
            readers.begin(reader, asked)
            question = AskReadFacts(path="uploads/u/file", filename=reader)
            return asked, asyncio.create_task(asked.answer(lambda: question))

        _, first = ask("a:t:lens")
        await until(lambda: slot.futures)
        waits, second = ask("b:t:lens")
        told = waits.told()
        ((event,),) = (await anext(told),)
        assert event.message == "waiting: one question comes before this one"
        # A newer question of the same reader and view takes the older one's place at once.
        _, newer = ask("b:t:lens")
        with pytest.raises(Over, match=NEWER):
            await second
        with pytest.raises(Over, match=LATE):
            await ask("c:t:lens", timeout=0.0)[1]
        assert len(slot.futures) == 1
        slot.futures[0].set_result(ANSWER)
        assert await first is ANSWER
        await until(lambda: len(slot.futures) == 2)
        slot.futures[1].set_result(ANSWER)
        assert await newer is ANSWER
        assert [one async for one in told] == []

    run(test)
