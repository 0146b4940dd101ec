"""One question at the lane: from its arrival until it is answered or nobody waits for it.

Nobody waits for a question whose reader has left, has asked something newer, or was told that it
took too long. It is then taken back: not begun when it waits, ended at its next report when it is
computed. The process lives on, with all that it has loaded.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from worker.contract.inputs import Question
from worker.contract.progress import Event
from worker.engine.slot import Slot
from worker.engine.turns import Turns, person_of
from worker.engine.wire import Answered, Failed

LEFT, NEWER, LATE = "left", "newer", "late"
"""Why nobody waits for an answer any more."""
Told = tuple[Event, ...]


class Over(Exception):
    """Nobody waits for the answer any more; `why` is LEFT, NEWER or LATE."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Asked:
    """A question that somebody waits for; made and used on the lane's event loop."""

    def __init__(
        self, slot: Slot, timeout: float, turns: Turns | None = None, reader: str = ""
    ) -> None:
        self._slot, self._timeout = slot, timeout
        self._turns, self._person = turns or Turns(), person_of(reader)
        self._job = f"ask.{secrets.token_hex(6)}"
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._news: asyncio.Queue[Told | None] = asyncio.Queue()

    def leave(self, why: str) -> None:
        """Wait for the answer no longer."""
        if not self._over.done():
            self._over.set_result(why)

    async def answer(self, understand: Callable[[], Question]) -> Answered | Failed:
        """Have the question computed; raises Over, Died, and what `understand` raises.

        Not to be cancelled: a thread may just be handing the question to the process.
        """
        try:
            question = await asyncio.to_thread(understand)
            if self._over.done():
                raise Over(self._over.result())
            late = self._loop.time() + self._timeout
            turn = self._turns.join(self._person, self._tell_place)
            try:
                await self._first(turn.came, late)
                given = await asyncio.to_thread(self._slot.ask, self._job, question, self._hear)
                return await self._wait(given, late)
            finally:
                self._turns.end(turn)
        finally:
            self._news.put_nowait(None)

    async def _wait(self, given: "Future[Answered | Failed]", late: float) -> Answered | Failed:
        answered = asyncio.wrap_future(given)
        try:
            await self._first(answered, late)
        except Over:
            await asyncio.to_thread(self._slot.drop, self._job)
            raise
        return answered.result()

    async def _first(self, awaited: asyncio.Future[Any], late: float) -> None:
        """Wait until what is awaited is done; raises Over where nobody waits before that."""
        either: set[asyncio.Future[Any]] = {awaited, self._over}
        left = max(late - self._loop.time(), 0.0)
        await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if not awaited.done():
            raise Over(self._over.result() if self._over.done() else LATE)

    def _tell_place(self, before: int) -> None:
        others = "one question comes" if before == 1 else f"{before} questions come"
        message = f"waiting: {others} before this one"
        self._news.put_nowait((Event(type="progress", fraction=0.0, message=message),))

    async def told(self) -> AsyncIterator[Told]:
        """What the process tells while it computes; ends when the answer is there."""
        while (events := await self._news.get()) is not None:
            yield events

    async def watch(self, request: Request) -> None:
        """Leave when the reader closes the connection."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.leave(LEFT)

    def _hear(self, events: Told) -> None:
        """Take what the process tells, on the thread that reads it."""
        with suppress(RuntimeError):  # the lane is closed
            self._loop.call_soon_threadsafe(self._news.put_nowait, events)


class Readers:
    """Which question each reader waits for: a newer one takes an older one's place."""

    def __init__(self) -> None:
        self._newest: dict[str, Asked] = {}

    def begin(self, reader: str, asked: Asked) -> None:
        """Note a reader's question, and have the one before it left."""
        if not reader:
            return
        if older := self._newest.get(reader):
            older.leave(NEWER)
        self._newest[reader] = asked

    def end(self, reader: str, asked: Asked) -> None:
        """Forget a question that is answered or left."""
        if self._newest.get(reader) is asked:
            del self._newest[reader]
