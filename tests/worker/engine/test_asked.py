"""One question at the lane, by a slot that answers when the test says so: no process is started."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, cast

import pytest
from starlette.requests import Request

from worker.contract.errors import UserError
from worker.contract.inputs import AskReadFacts
from worker.contract.progress import Event
from worker.engine.asked import LATE, LEFT, NEWER, Asked, Over, Readers
from worker.engine.slot import Slot
from worker.engine.wire import Failed

QUESTION = AskReadFacts(path="uploads/u/file", filename="a.csv")
ANSWER = Failed(job="j", kind="bug", message="KeyError")


class Held:
    """A slot that holds its one question until it is answered."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self.given: list[tuple[str, Any]] = []
        self.dropped: list[str] = []
        self.hear: Callable[[tuple[Event, ...]], None]

    def ask(self, job: str, question: Any, hear: Any) -> "Future[Any]":
        self.given.append((job, question))
        self.hear = hear
        return self.future

    def drop(self, job: str) -> bool:
        self.dropped.append(job)
        return True


def asked(slot: Held, timeout: float = 60.0) -> Asked:
    return Asked(cast(Slot, slot), timeout)


async def until(holds: Callable[[], Any]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


def run(test: Callable[[Held], Awaitable[None]]) -> Held:
    slot = Held()

    async def within() -> None:
        async with asyncio.timeout(60):
            await test(slot)

    asyncio.run(within())
    return slot


def test_an_answer_is_given_as_it_is_and_nothing_is_taken_back() -> None:
    async def test(slot: Held) -> None:
        answering = asyncio.create_task(asked(slot).answer(lambda: QUESTION))
        await until(lambda: slot.given)
        slot.future.set_result(ANSWER)
        assert await answering is ANSWER

    slot = run(test)
    [(job, question)] = slot.given
    assert job.startswith("ask.") and len(job) > 12 and question is QUESTION
    assert slot.dropped == []


@pytest.mark.parametrize("why", [LEFT, NEWER])
def test_a_question_that_is_left_is_taken_back_by_its_job(why: str) -> None:
    async def test(slot: Held) -> None:
        one = asked(slot)
        answering = asyncio.create_task(one.answer(lambda: QUESTION))
        await until(lambda: slot.given)
        one.leave(why)
        one.leave("again")
        with pytest.raises(Over) as over:
            await answering
        assert (over.value.why, str(over.value)) == (why, why)

    slot = run(test)
    assert slot.dropped == [slot.given[0][0]]


def test_a_question_that_takes_too_long_is_late_and_taken_back() -> None:
    async def test(slot: Held) -> None:
        with pytest.raises(Over) as over:
            await asked(slot, timeout=0.01).answer(lambda: QUESTION)
        assert over.value.why == LATE

    assert len(run(test).dropped) == 1


def test_a_question_that_is_left_before_it_is_understood_is_never_given() -> None:
    async def test(slot: Held) -> None:
        one = asked(slot)
        one.leave(LEFT)
        with pytest.raises(Over, match=LEFT):
            await one.answer(lambda: QUESTION)

    slot = run(test)
    assert (slot.given, slot.dropped) == ([], [])


def test_a_question_that_cannot_be_understood_is_refused_and_ends_what_is_told() -> None:
    async def test(slot: Held) -> None:
        one = asked(slot)

        def understand() -> AskReadFacts:
            raise UserError("No such upload.")

        with pytest.raises(UserError, match="No such upload"):
            await one.answer(understand)
        assert [events async for events in one.told()] == []

    assert run(test).given == []


def test_what_the_process_tells_comes_in_order_and_ends_with_the_answer() -> None:
    rows = [(Event(type="log", message=str(i)),) for i in range(3)]

    async def test(slot: Held) -> None:
        one = asked(slot)
        answering = asyncio.create_task(one.answer(lambda: QUESTION))
        await until(lambda: slot.given)
        for row in rows:
            await asyncio.to_thread(slot.hear, row)
        slot.future.set_result(ANSWER)
        await answering
        assert [events async for events in one.told()] == rows

    run(test)


def test_what_is_told_when_the_lane_is_closed_goes_nowhere_and_harms_nobody() -> None:
    async def test(slot: Held) -> None:
        answering = asyncio.create_task(asked(slot).answer(lambda: QUESTION))
        await until(lambda: slot.given)
        slot.future.set_result(ANSWER)
        await answering

    run(test).hear((Event(type="log", message="late"),))


def test_a_reader_who_closes_the_connection_leaves_and_one_who_sends_more_does_not() -> None:
    async def test(slot: Held) -> None:
        messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])
        sent: list[str] = []

        async def receive() -> dict[str, Any]:
            message = next(messages)
            sent.append(message["type"])
            return message

        one = asked(slot)
        await one.watch(Request({"type": "http"}, receive))
        assert sent == ["http.request", "http.disconnect"]
        with pytest.raises(Over, match=LEFT):
            await one.answer(lambda: QUESTION)

    run(test)


def test_a_readers_newer_question_leaves_the_older_one_and_nobody_elses() -> None:
    async def test(slot: Held) -> None:
        readers = Readers()
        first, second, other, nobody, nobody_too = (asked(slot) for _ in range(5))
        readers.begin("tab 1", first)
        readers.begin("tab 2", other)
        readers.begin("", nobody)
        readers.begin("", nobody_too)
        assert not any(one._over.done() for one in (first, other, nobody))
        readers.begin("tab 1", second)
        assert first._over.result() == NEWER
        assert not any(one._over.done() for one in (second, other, nobody))
        readers.end("tab 1", first)
        third = asked(slot)
        readers.begin("tab 1", third)
        assert second._over.result() == NEWER, "the end of an older question forgets no newer one"
        readers.end("tab 1", third)
        readers.end("tab 1", third)
        readers.begin("tab 1", asked(slot))
        assert not third._over.done(), "what is answered is left by nobody"

    run(test)
