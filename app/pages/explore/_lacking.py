"""What a view still lacks, asked one thing after another, while who waits is told their place.

A view's context is made of answers that are kept. The first that is not is asked for, what the
worker tells meanwhile is passed on, and the context is made anew, until it lacks nothing.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from app.pages.explore._subject import Asker
from worker.contract.errors import UserError
from worker.contract.result import Result
from worker.contract.spec import ExploreSpec
from worker.engine.client import Superseded

WAITING = ("waiting", "loading")
"""With what a message begins that says why nothing is computed yet."""


class _Lacking(Exception):
    """An answer that is not there yet, and who asks for it."""

    def __init__(self, spec: ExploreSpec, asker: Asker) -> None:
        super().__init__(spec.view)
        self.spec, self.asker = spec, asker


@dataclass(frozen=True)
class _Looking(Asker):
    """Looks among the answers that are kept, and those that were given meanwhile."""

    given: dict[str, Result | UserError] = field(default_factory=dict)
    """What is asked -> its answer, or why there is none."""

    def answer(self, spec: ExploreSpec) -> Result:
        self.engine.store.refuse_outside_class(spec)
        found = self.given.get(spec.model_dump_json()) or self.answers.known(spec)
        if found is None:
            raise _Lacking(spec, self)
        if isinstance(found, UserError):
            raise found
        return found


@dataclass(frozen=True)
class Whole:
    """All that was to be made."""

    made: Any


def kept(asker: Asker, make: Callable[[Asker], Any]) -> Whole | None:
    """Make something of answers that are kept; None where one is lacking."""
    try:
        return Whole(make(_looking(asker)))
    except _Lacking:
        return None


def _looking(asker: Asker) -> _Looking:
    return _Looking(asker.engine, asker.answers, asker.reader, asker.patience)


async def making(asker: Asker, make: Callable[[Asker], Any]) -> AsyncGenerator[str | Whole, None]:
    """Make something of answers; yield why one waits, and last what was made.

    Raises what `make` raises, and Superseded when the same reader asks something newer.
    """
    looking = _looking(asker)
    while True:
        try:
            made = await run_in_threadpool(make, looking)
        except _Lacking as lacking:
            async with aclosing(_asking(lacking, looking.given)) as told:
                async for message in told:
                    yield message
        else:
            yield Whole(made)
            return


async def _asking(
    lacking: _Lacking, given: dict[str, Result | UserError]
) -> AsyncGenerator[str, None]:
    by, spec = lacking.asker, lacking.spec
    asked = spec.model_dump_json()
    try:
        async with aclosing(by.answers.follow(by.engine, spec, by.reader, by.patience)) as told:
            async for one in told:
                if isinstance(one, Result):
                    given[asked] = one
                elif one.message.startswith(WAITING):
                    yield one.message
    except Superseded:
        raise
    except UserError as error:  # what is made may do without
        given[asked] = error
