"""What a run's page hears, from a run that is computed by hand."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app import live
from worker.contract.progress import Event
from worker.contract.spec import parse_spec
from worker.engine.client import Engine

WORKER = "test-host:cpu"


def told(engine: Engine, run_id: str, after: int = -1) -> list[str]:
    async def read() -> list[str]:
        return [message async for message in live.follow_run(engine, run_id, after)]

    return asyncio.run(asyncio.wait_for(read(), 20))


def computed(engine: Engine, spec: dict[str, Any], events: list[Event], state: Any) -> str:
    run_id = engine.submit(parse_spec(spec))
    attempt = engine.store.begin_attempt(run_id, WORKER, "g")
    assert attempt is not None
    engine.store.append(run_id, attempt.number, events)
    engine.store.finish(run_id, attempt.number, state, "It ended.")
    return run_id


def test_the_page_is_told_to_fetch_the_end(engine: Engine, spec: dict[str, Any]) -> None:
    events = [Event(type="progress", fraction=i / 50, message=f"step {i}") for i in range(50)]
    run_id = computed(engine, spec, events, "done")
    messages = told(engine, run_id)
    assert messages[-1].startswith("event: end\n")
    assert len(messages) < 10
    assert f'hx-get="/runs/{run_id}"' in messages[-2]


def test_log_lines_and_names_of_partials_are_passed_on(
    engine: Engine, spec: dict[str, Any]
) -> None:
    events = [
        Event(type="log", message="<b>one</b>"),
        Event(type="partial", name="grid", data={"layer": 1}),
        Event(type="partial", name="grid", data={"layer": 2}),
        Event(type="log", message="two"),
    ]
    text = "".join(told(engine, computed(engine, spec, events, "failed")))
    assert "&lt;b&gt;one&lt;/b&gt;" in text
    assert "two" in text
    assert text.count("event: partial\ndata: grid") == 1
    assert "failed. It ended." in text


def test_a_reader_who_comes_back_hears_what_is_new(engine: Engine, spec: dict[str, Any]) -> None:
    run_id = computed(engine, spec, [Event(type="log", message="early line")], "done")
    last = engine.events(run_id)[-2][0]
    text = "".join(told(engine, run_id, after=last))
    assert "early line" not in text
    assert "event: end" in text


def test_fast_events_come_in_bundles_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PACE", 0.05)

    async def events() -> AsyncIterator[tuple[int, Event]]:
        for offset in range(30):
            yield offset, Event(type="progress", message=str(offset))
            await asyncio.sleep(0.01 if offset != 20 else 0.2)

    async def read() -> list[tuple[int, list[Event]]]:
        return [bundle async for bundle in live.gathered(events())]

    started = time.monotonic()
    bundles = asyncio.run(read())
    assert time.monotonic() - started < 10
    assert [e.message for _, bundle in bundles for e in bundle] == [str(i) for i in range(30)]
    assert bundles[-1][0] == 29
    assert len(bundles) < 25
