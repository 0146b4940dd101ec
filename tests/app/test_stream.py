import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.requests import Request

from app import stream
from app.access.session import Identity, Session
from worker.contract.progress import Event


def asked(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "query_string": b"", "path": "/"})


async def every(seconds: float, n: int = 10_000) -> AsyncIterator[str]:
    for number in range(n):
        await asyncio.sleep(seconds)
        yield f"{number}"


def read(messages: AsyncIterator[str], answers: list[bool]) -> list[str]:
    """All that a stream sends to a reader who is signed in as `answers` say, in their order."""

    async def may_go_on() -> bool:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def collect() -> list[str]:
        return [one async for one in stream.with_heartbeat(messages, may_go_on)]

    return asyncio.run(asyncio.wait_for(collect(), 20))


@pytest.mark.parametrize(("last", "start"), [("7", 7), ("", 3), ("-1", 3), ("9" * 12, 3), ("x", 3)])
def test_a_reader_goes_on_after_the_last_event_that_came(last: str, start: int) -> None:
    assert stream.resume_after(asked(last_event_id=last), 3) == start


def test_a_message_of_several_lines_stays_one() -> None:
    told = stream.message("a\r\nid: 9\n\nb", id=4, event="log")
    assert told == "id: 4\nevent: log\ndata: a\ndata: id: 9\ndata: \ndata: b\n\n"


def test_events_go_out_as_json_under_their_types_names() -> None:
    async def events() -> AsyncIterator[tuple[int, Event]]:
        yield 2, Event(type="log", message="größer\n")

    async def collect() -> list[str]:
        return [one async for one in stream.as_json(events())]

    (told,) = asyncio.run(collect())
    assert told.startswith("id: 2\nevent: log\n") and '"message": "größer\\n"' in told


def test_a_stream_sends_all_and_comments_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.02)
    told = read(every(0.2, 2), [True])
    assert [one for one in told if not one.startswith(":")] == ["0", "1"]
    assert told[0] == ": open\n\n" and ": still here\n\n" in told


@pytest.mark.parametrize("pause", [0.001, 60])
def test_a_stream_ends_when_its_reader_signs_out_however_often_something_comes(
    monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(stream, "LOOK", 0.02)
    assert read(every(pause), [True, True, False])[0] == ": open\n\n"


def test_a_reader_who_leaves_ends_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.01)
    ended = []

    async def slow() -> AsyncIterator[str]:
        try:
            await asyncio.sleep(60)
            yield "late"
        finally:
            ended.append(True)

    async def yes() -> bool:
        return True

    async def leave() -> list[str]:
        source = stream.with_heartbeat(slow(), yes)
        found = [await anext(source) for _ in range(3)]
        await source.aclose()  # type: ignore[attr-defined]
        return found

    assert asyncio.run(leave()) == [": open\n\n", *[": still here\n\n"] * 2]
    assert ended


def reader(nonce: str, until: float, ended: Any) -> Request:
    request = asked()
    request.state.session = Session(Identity(), nonce, until)
    engine = SimpleNamespace(store=SimpleNamespace(is_ended=ended))
    opening = SimpleNamespace(engine=lambda: engine)
    request.scope["app"] = SimpleNamespace(state=SimpleNamespace(opening=opening))
    return request


def trouble(nonce: str) -> bool:
    raise OperationalError("SELECT", {}, Exception("database is locked"))


@pytest.mark.parametrize(
    ("nonce", "lasts", "ended", "stays"),
    [
        ("a", 60, lambda _: False, True),
        ("a", 60, lambda _: True, False),
        ("a", -60, lambda _: False, False),
        ("", 0, lambda _: True, True),
        ("a", 60, trouble, True),
    ],
)
def test_who_is_signed_in_is_asked_of_the_store(
    nonce: str, lasts: float, ended: Any, stays: bool
) -> None:
    request = reader(nonce, time.time() + lasts, ended)
    assert asyncio.run(stream.is_signed_in(request)) is stays
