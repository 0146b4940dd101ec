"""Followers are woken, whatever the database did in between."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from worker.engine import watch
from worker.engine.watch import Watch


class Counts:
    """A store whose counts grow with every look, after a few that fail."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.looks = list(errors), 0

    def event_counts(self, ids: Iterable[str]) -> dict[str, int]:
        if self.errors:
            raise self.errors.pop()
        self.looks += 1
        return dict.fromkeys(ids, self.looks)


def test_a_follower_is_woken_after_errors_that_nobody_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.001)
    watching = Watch(Counts(KeyError("x"), RuntimeError("y"), MemoryError()))  # type: ignore[arg-type]

    async def follow() -> None:
        with watching.subscribe("r") as changed:
            for _ in range(3):
                changed.clear()
                await asyncio.wait_for(changed.wait(), 60)

    asyncio.run(follow())


def test_a_follower_whose_loop_is_closed_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.001)
    watching = Watch(Counts())  # type: ignore[arg-type]
    left: list[Any] = []

    async def leave() -> None:
        left.append(watching.subscribe("gone"))
        left[0].__enter__()

    asyncio.run(leave())

    async def follow() -> None:
        with watching.subscribe("r") as changed:
            await asyncio.wait_for(changed.wait(), 60)

    asyncio.run(follow())
    left[0].__exit__(None, None, None)
