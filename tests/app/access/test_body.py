import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from app.access.body import LIMIT, BodyLimit, Pace

Piece = tuple[float, bytes]
"""Seconds of waiting, and what comes then."""


def read(
    pieces: Iterable[Piece],
    pace: Pace | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
    larger: dict[str, int] | None = None,
) -> int:
    """The bytes of a body that comes in these pieces; raises what a route would see."""
    come: list[int] = []
    waiting = list(pieces)

    async def receive() -> dict[str, Any]:
        wait, body = waiting.pop(0)
        await (asyncio.Event().wait() if wait == float("inf") else asyncio.sleep(wait))
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        more = True
        while more:
            message = await receive()
            come.append(len(message["body"]))
            more = message["more_body"]

    scope = {"type": "http", "path": "/x", "headers": headers or []}
    asyncio.run(BodyLimit(app, larger or {}, pace)(scope, receive, None))
    return sum(come)


def test_a_body_within_the_limit_comes_whole() -> None:
    assert read([(0, b"a" * LIMIT)]) == LIMIT
    assert read([(0, b"a"), (0, b""), (0, b"bc")]) == 3


def test_a_body_that_grows_past_the_limit_is_stopped_there() -> None:
    with pytest.raises(HTTPException) as refused:
        read([(0, b"a" * 600_000)] * 4)
    assert refused.value.status_code == 413
    assert read([(0, b"a" * 600_000)] * 4, larger={"/x": 3_000_000}) == 2_400_000


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(HTTPException) as refused:
        read([(0, b"a")], headers=[(b"content-length", b"2000001")])
    assert refused.value.status_code == 413
    assert read([(0, b"a")], headers=[(b"content-length", b"many")]) == 1


def test_a_body_that_stops_coming_is_given_up_and_its_connection_closed() -> None:
    with pytest.raises(HTTPException) as refused:
        read([(0, b"a"), (float("inf"), b"b")], Pace(silent=0.01))
    assert refused.value.status_code == 408
    assert refused.value.headers == {"Connection": "close"}


def test_a_body_that_trickles_is_given_up_though_it_is_never_silent() -> None:
    trickle = [(0.02, b"a")] * 200
    with pytest.raises(HTTPException) as refused:
        read(trickle, Pace(silent=5.0, patience=0.05, rate=1e6))
    assert refused.value.status_code == 408


def test_a_large_body_has_the_time_that_its_bytes_take() -> None:
    pieces = [(0.02, b"a" * 1000)] * 10
    assert read(pieces, Pace(silent=5.0, patience=0.05, rate=1000.0)) == 10_000


def test_after_a_body_its_readers_leaving_is_waited_for_without_a_limit() -> None:
    left: list[Any] = []
    messages = [{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05 * (len(messages) == 1))
        return messages.pop(0)

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        left.extend([await receive(), await receive()])

    scope = {"type": "http", "path": "/x", "headers": []}
    asyncio.run(BodyLimit(app, {}, Pace(silent=0.001, patience=0.001))(scope, receive, None))
    assert left[-1]["type"] == "http.disconnect"
