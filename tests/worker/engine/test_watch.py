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


class Told:
    """A store whose counts are those that the test last said; notes whose were asked for."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {"r": 1, "other": 1}
        self.asked: list[set[str]] = []

    def event_counts(self, ids: Iterable[str]) -> dict[str, int]:
        self.asked.append(set(ids))
        return {id: n for id, n in self.counts.items() if id in self.asked[-1]}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Looks are made by the test: no thread looks by itself."""
    monkeypatch.setattr(watch, "keep_doing", lambda *given: None)
    return Told()


async def wakes(watching: Watch, changed: asyncio.Event) -> bool:
    """Look once; say whether that woke the follower."""
    changed.clear()
    watching._poll()
    await asyncio.sleep(0)
    return changed.is_set()


def test_a_follower_is_woken_by_its_own_runs_news_only(told: Told) -> None:
    async def follow() -> None:
        watching = Watch(told)  # type: ignore[arg-type]
        with watching.subscribe("r") as changed:
            assert await wakes(watching, changed), "the first look is news"
            assert not await wakes(watching, changed)
            told.counts["other"] = 2
            assert not await wakes(watching, changed)
            told.counts["r"] = 2
            assert await wakes(watching, changed)
            assert not await wakes(watching, changed)
            told.counts.pop("r")
            assert await wakes(watching, changed), "a deleted run"
            assert told.asked == [{"r"}] * 6

    asyncio.run(follow())


def test_every_follower_of_a_run_is_woken_and_who_left_is_not_asked_for(told: Told) -> None:
    async def follow() -> None:
        watching = Watch(told)  # type: ignore[arg-type]
        with watching.subscribe("r") as first, watching.subscribe("r") as second:
            with watching.subscribe("other") as other:
                assert await wakes(watching, first) and second.is_set() and other.is_set()
            told.counts["r"] = 2
            second.clear()
            assert await wakes(watching, first) and second.is_set()
        assert told.asked == [{"r", "other"}, {"r"}]

    asyncio.run(follow())


def test_the_thread_ends_when_nobody_follows_and_the_next_follower_starts_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(watch, "keep_doing", lambda *given: started.append(given))

    async def follow() -> None:
        watching = Watch(Told())  # type: ignore[arg-type]
        with watching.subscribe("r"), watching.subscribe("other"):
            [(poll, seconds, is_idle)] = started
            assert (poll, seconds) == (watching._poll, watch.POLL_SECONDS)
            assert not is_idle()
        assert is_idle()
        with watching.subscribe("r"):
            assert len(started) == 2 and not is_idle()
            watching.close()
            assert is_idle(), "also while somebody follows"

    asyncio.run(follow())
