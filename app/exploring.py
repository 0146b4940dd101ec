"""Asks explore views of a worker, and keeps their answers by weights, prompt and interventions."""

import asyncio
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from typing import Any, cast

from app.access.visits import Visits
from worker.contract.inputs import AskExplore, Inputs
from worker.contract.progress import Event
from worker.contract.result import Result
from worker.contract.spec import ExploreSpec
from worker.engine.client import Engine, Superseded
from worker.engine.named import check_named

PATIENCE = 60.0
"""Seconds within which a view must be there; the first of a model waits until it is loaded."""
MOST = 256
"""Answers that are kept, of some tens of kilobytes each."""
TRUSTED = 600.0
"""Seconds after which a worker is asked anew which weights a model has."""


class Answers:
    """Answers that were given, the oldest forgotten first; who asks the same meanwhile waits.

    Every answer tells the hash of its base's weights. One that tells another than before makes
    all that was answered on the weights before it unfindable.
    """

    def __init__(self, most: int = MOST, visits: Visits | None = None) -> None:
        """`visits` bounds how many questions of an open house's visitors wait at once."""
        self._most, self._visits = most, visits
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], Result] = OrderedDict()
        self._asked: dict[str, Future[Result]] = {}
        self._weights: dict[str, tuple[str, float]] = {}

    def ask(
        self, engine: Engine, spec: ExploreSpec, reader: str = "", patience: float = PATIENCE
    ) -> Result:
        """A view's answer; raises UserError as the worker says it, and NoWorker.

        Raises Superseded when the same reader asks something newer meanwhile.
        """
        check_named(spec, engine.store)
        if found := self.known(spec):
            return found
        with self._place(engine):
            return self._ask(engine, spec, _in_turn(engine, reader), patience)

    def _ask(self, engine: Engine, spec: ExploreSpec, reader: str, patience: float) -> Result:
        asked = spec.model_dump_json()
        while True:
            with self._lock:
                if found := self._find(spec.base, asked):
                    return found
                waiting = self._asked.get(asked)
                if waiting is None:
                    mine = self._asked[asked] = Future[Result]()
                    break
            try:
                return waiting.result()
            except Superseded:  # another reader's newer question ended what both waited for
                continue
        try:
            question = AskExplore(spec=spec, inputs=Inputs(out=""), reader=reader)
            answer = Result.model_validate(engine.ask(question, timeout=patience))
        except BaseException as error:
            with self._lock:
                del self._asked[asked]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._asked[asked]
            self._keep(spec.base, asked, answer)
        mine.set_result(answer)
        return answer

    def known(self, spec: ExploreSpec) -> Result | None:
        """An answer that is kept."""
        with self._lock:
            return self._find(spec.base, spec.model_dump_json())

    async def follow(
        self, engine: Engine, spec: ExploreSpec, reader: str = "", patience: float = PATIENCE
    ) -> AsyncGenerator[Event | Result, None]:
        """What is told while a view is computed, and last its answer; closing it ends the work.

        Where somebody waits for the same already, only the answer comes.
        """
        await asyncio.to_thread(check_named, spec, engine.store)
        if known := self.known(spec):
            yield known
            return
        with self._place(engine):
            answering = self._follow(engine, spec, _in_turn(engine, reader), patience)
            async with aclosing(answering) as told:
                async for one in told:
                    yield one

    async def _follow(
        self, engine: Engine, spec: ExploreSpec, reader: str, patience: float
    ) -> AsyncGenerator[Event | Result, None]:
        asked = spec.model_dump_json()
        while True:
            with self._lock:
                found = self._find(spec.base, asked)
                waiting = self._asked.get(asked)
                if found is None and waiting is None:
                    mine = self._asked[asked] = Future[Result]()
                    break
            if found is None and waiting is not None:
                with suppress(Superseded):  # whose question it was has left it
                    found = await asyncio.shield(asyncio.wrap_future(waiting))
            if found is not None:
                yield found
                return
        question = AskExplore(spec=spec, inputs=Inputs(out=""), reader=reader)
        answering = cast(
            "AsyncGenerator[Event | dict[str, Any], None]", engine.answer(question, patience)
        )
        try:
            async with aclosing(answering) as told:
                async for one in told:
                    if isinstance(one, Event):
                        yield one
                        continue
                    answer = Result.model_validate(one)
                    with self._lock:
                        self._keep(spec.base, asked, answer)
                    self._end(asked, mine, answer)
                    yield answer
        except BaseException as error:
            left = Superseded("Who asked this has left.")
            self._end(asked, mine, error if isinstance(error, Exception) else left)
            raise

    def _place(self, engine: Engine) -> AbstractContextManager[None]:
        """A visitor's place among those who wait; raises TooMuch where there is none."""
        visit = engine.store.acting.visit
        if visit is None or self._visits is None:
            return nullcontext()
        return self._visits.asking(visit.address)

    def _end(self, asked: str, mine: Future[Result], how: Result | Exception) -> None:
        """Let those who wait for the same answer go on."""
        if mine.done():
            return
        with self._lock:
            del self._asked[asked]
        mine.set_exception(how) if isinstance(how, Exception) else mine.set_result(how)

    def _find(self, base: str, asked: str) -> Result | None:
        weights, told = self._weights.get(base, ("", 0.0))
        if not weights or time.monotonic() - told > TRUSTED:
            return None
        if (found := self._known.get((weights, asked))) is not None:
            self._known.move_to_end((weights, asked))
        return found

    def _keep(self, base: str, asked: str, answer: Result) -> None:
        weights = answer.provenance.weights_hash
        self._weights[base] = weights, time.monotonic()
        self._known[weights, asked] = answer
        while len(self._known) > self._most:
            self._known.popitem(last=False)


def _in_turn(engine: Engine, reader: str) -> str:
    """Who takes turns with others: all visitors of an open house as one reader with each who has an
    account. Which of their questions a newer one ends is told by what follows."""
    visit = engine.store.acting.visit
    return reader if visit is None else f"visitors:{visit.address}:{reader or secrets.token_hex(8)}"
