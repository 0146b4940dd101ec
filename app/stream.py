"""Server-sent events: one shape for the API's stream and the pages' stream.

A stream outlives the request that was let in, so it looks now and then whether its reader is still
signed in and may see the run, and ends when not.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from app.access.session import Session
from app.access.shared import lasts
from worker.contract.errors import Unavailable
from worker.contract.progress import Event
from worker.store.store import Store

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the stream open."""
LOOK = 5.0
"""Seconds after which a stream looks again whether its reader is still signed in."""


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


def respond(
    request: Request, messages: AsyncIterator[str], store: Store, run_id: str
) -> StreamingResponse:
    """Answer with a stream that no proxy buffers, for as long as its reader may see the run."""

    async def may_go_on() -> bool:
        return await is_signed_in(request) and await run_in_threadpool(_is_seen, store, run_id)

    return StreamingResponse(
        with_heartbeat(messages, may_go_on),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def is_signed_in(request: Request) -> bool:
    """Whether the session that opened a stream lasts; where that can't be asked, it is taken to."""
    session: Session | None = request.state.session
    if session is None:  # what anybody may see needs no session
        return True
    is_person = session.identity.role is not None
    if not session.nonce and not is_person:  # a script, whose token was looked at when it asked
        return True
    if session.nonce and session.until < time.time():
        return False
    store: Store = request.app.state.opening.engine().store
    with suppress(Unavailable, SQLAlchemyError):
        if is_person:
            return await run_in_threadpool(lasts, store, session)
        return not await run_in_threadpool(store.is_ended, session.nonce)
    return True


def _is_seen(store: Store, run_id: str) -> bool:
    """Whether a run is still there for its reader; where that can't be asked, it is taken to."""
    with suppress(Unavailable, SQLAlchemyError):
        return bool(store.event_counts([run_id]))
    return True


async def with_heartbeat(
    messages: AsyncIterator[str], may_go_on: Callable[[], Awaitable[bool]]
) -> AsyncIterator[str]:
    """Put a comment into every silence, and end the source when the reader leaves or may not stay.

    `may_go_on` is asked every LOOK seconds, also between messages that come faster.
    """
    yield ": open\n\n"
    clock = asyncio.get_running_loop()
    looked = told = clock.time()
    source = aiter(messages)
    waiting: asyncio.Future[str] = asyncio.ensure_future(anext(source))
    try:
        while True:
            due = min(looked + LOOK, told + HEARTBEAT)
            done, _ = await asyncio.wait({waiting}, timeout=max(0.0, due - clock.time()))
            if clock.time() >= looked + LOOK:
                if not await may_go_on():
                    return
                looked = clock.time()
            if not done:
                if clock.time() >= told + HEARTBEAT:
                    yield ": still here\n\n"
                    told = clock.time()
                continue
            told = clock.time()
            try:
                yield waiting.result()
            except StopAsyncIteration:
                return
            waiting = asyncio.ensure_future(anext(source))
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await waiting
