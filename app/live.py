"""What a run's page hears while the run computes: its events as pieces of HTML.

Progress that comes faster than a reader sees is merged; a state, a log line and a new partial
result are always told. Every message carries the offset of the last event that it knows.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.concurrency import run_in_threadpool

from app.stream import message
from app.templating import render_fragment
from worker.contract.progress import FINAL_STATES, Event
from worker.engine.client import Engine

PACE = 0.25
"""Seconds between two messages about progress."""
SAID = 0.25
"""Progress is read out by screen readers once in this part of the run."""


async def follow_run(engine: Engine, run_id: str, after: int) -> AsyncIterator[str]:
    """Messages for the page of a run, from the event after `after` to its final state."""
    said = -1.0
    async for offset, events in gathered(engine.follow(run_id, after)):
        run = await run_in_threadpool(engine.store.run, run_id)
        states = [e.state for e in events if e.type == "state"]
        words = _words(events, said, run.fraction)
        if words:
            said = 0.0 if states else run.fraction
        text = render_fragment(
            "fragments/run_message.html",
            run=run,
            log=[e.message for e in events if e.type == "log"],
            words=words,
            is_final=run.state in FINAL_STATES,
        )
        yield message(text, id=offset)
        for name in dict.fromkeys(e.name for e in events if e.type == "partial"):
            yield message(name, id=offset, event="partial")
    yield message("", event="end")


def _words(events: list[Event], said: float, fraction: float) -> str:
    """What is read out: every new state, and progress now and then."""
    states = [e for e in events if e.type == "state"]
    if states:
        return f"{states[-1].state}. {states[-1].message}".strip()
    progress = [e for e in events if e.type == "progress"]
    if progress and fraction - said >= SAID:
        return f"{fraction:.0%} {progress[-1].message}"
    return ""


async def gathered(
    events: AsyncIterator[tuple[int, Event]],
) -> AsyncIterator[tuple[int, list[Event]]]:
    """Bundles of events: what comes within PACE of the first is told together."""
    clock = asyncio.get_running_loop()
    source = aiter(events)
    bundle: list[Event] = []
    offset, due = -1, 0.0
    waiting: asyncio.Future[tuple[int, Event]] = asyncio.ensure_future(anext(source))
    try:
        while True:
            left = max(due - clock.time(), 0.0) if bundle else None
            done, _ = await asyncio.wait({waiting}, timeout=left)
            if done:
                try:
                    offset, event = waiting.result()
                except StopAsyncIteration:
                    break
                due = due if bundle else clock.time() + PACE
                bundle.append(event)
                waiting = asyncio.ensure_future(anext(source))
            if bundle and clock.time() >= due:
                yield offset, bundle
                bundle = []
        if bundle:
            yield offset, bundle
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await waiting
