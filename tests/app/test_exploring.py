"""Answers that are kept: what several readers ask at once is computed once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any, cast

from app.exploring import Answers
from worker.contract.inputs import Question
from worker.contract.progress import Event
from worker.contract.result import Provenance, Result
from worker.contract.spec import ExploreSpec
from worker.engine.client import Engine
from worker.store.acting import NOBODY

SPEC = ExploreSpec(model="demo", view="lens", options={})
NEWS = Event(type="progress", fraction=0.0, message="waiting: one question comes before this one")
MADE = Provenance(
    model="demo", weights_hash="w", seed=0, device="cpu", dtype="float32", versions={}
)


class Slow:
    """An engine that tells one thing, and answers when it is let go; who asks sees everything."""

    store = SimpleNamespace(database=SimpleNamespace(look=None), acting=NOBODY)

    def __init__(self) -> None:
        self.n_asked = 0
        self.go = asyncio.Event()

    async def answer(self, question: Question, timeout: float) -> AsyncIterator[Any]:
        self.n_asked += 1
        yield NEWS
        await self.go.wait()
        found = Result(kind="explore", spec={}, provenance=MADE, seconds=1.0, peak_memory_bytes=1)
        yield found.model_dump(mode="json")


async def collected(answers: Answers, slow: Slow) -> list[Event | Result]:
    async with aclosing(answers.follow(cast(Engine, slow), SPEC)) as told:
        return [one async for one in told]


Following = asyncio.Task[list[Event | Result]]


async def settle(slow: Slow, n_asked: int) -> None:
    """Let everybody go on until they wait, and so many questions are asked."""
    while slow.n_asked < n_asked:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)


async def two(answers: Answers, slow: Slow) -> tuple[Following, Following]:
    """Two that follow the same, the first of them first."""
    first = asyncio.create_task(collected(answers, slow))
    await settle(slow, 1)
    second = asyncio.create_task(collected(answers, slow))
    await settle(slow, 1)
    return first, second


def test_who_follows_what_is_computed_already_is_given_the_same_answer() -> None:
    async def run() -> None:
        answers, slow = Answers(), Slow()
        first, second = await two(answers, slow)
        slow.go.set()
        told, [answer] = await first, await second
        assert told == [NEWS, answer] and slow.n_asked == 1
        assert await collected(answers, slow) == [answer] and slow.n_asked == 1

    asyncio.run(run())


def test_who_follows_another_that_leaves_asks_for_themselves() -> None:
    async def run() -> None:
        answers, slow = Answers(), Slow()
        first, second = await two(answers, slow)
        first.cancel()
        await settle(slow, 2)
        slow.go.set()
        [news, answer] = await second
        assert news == NEWS and isinstance(answer, Result) and slow.n_asked == 2

    asyncio.run(run())
