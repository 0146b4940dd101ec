"""Server-sent events: one shape for the API's stream and the pages' stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import StreamingResponse

from worker.contract.progress import Event

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the stream open."""


def resume_after(request: Request, after: int = -1) -> int:
    """The offset after which a reader wants to go on: Last-Event-ID, else the address's `after`."""
    last = request.headers.get("last-event-id", "")
    return int(last) if last.isdecimal() and len(last) < 10 else after


def message(data: str, *, id: int | None = None, event: str = "") -> str:
    """One message in the wire's format."""
    lines = [f"id: {id}"] if id is not None else []
    lines += [f"event: {event}"] if event else []
    lines += [f"data: {line}" for line in data.replace("\r", "").split("\n")]
    return "\n".join(lines) + "\n\n"


async def as_json(events: AsyncIterator[tuple[int, Event]]) -> AsyncIterator[str]:
    """Every event as JSON, under its type's name."""
    async for offset, event in events:
        body = json.dumps(event.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
        yield message(body, id=offset, event=event.type)


def respond(messages: AsyncIterator[str]) -> StreamingResponse:
    """Answer with a stream that no proxy buffers."""
    return StreamingResponse(
        with_heartbeat(messages),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def with_heartbeat(messages: AsyncIterator[str]) -> AsyncIterator[str]:
    """Put a comment into every silence, and end the source when the reader leaves."""
    yield ": open\n\n"
    source = aiter(messages)
    waiting: asyncio.Future[str] = asyncio.ensure_future(anext(source))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=HEARTBEAT)
            if not done:
                yield ": still here\n\n"
                continue
            try:
                yield waiting.result()
            except StopAsyncIteration:
                return
            waiting = asyncio.ensure_future(anext(source))
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await waiting
