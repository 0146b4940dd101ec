"""The engine as web server and command line use it, without any worker's process."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from worker.contract.errors import NotFound, UserError
from worker.contract.progress import Event
from worker.contract.selection import FactsSpec
from worker.contract.spec import LocalizeSpec, Spec, parse_spec
from worker.engine import client
from worker.engine.client import Engine
from worker.engine.queue import PRIORITIES, jobs_table

SPEC = LocalizeSpec(facts=FactsSpec(set="tiny", forget="first:1"), method="fake")
STUDY = parse_spec(
    {
        "kind": "study",
        "facts": {"set": "tiny"},
        "masks": {"all": {"title": "All", "components": ["blocks.0.mlp"]}},
        "methods": {"fake": {"title": "Fake", "method": "fake"}},
    }
)


def job(engine: Engine, run_id: str) -> tuple[Any, ...]:
    """A run's job in the queue: its queue, its name and its state."""
    jobs = jobs_table(engine.store.database)
    columns = (jobs.c.queue_name, jobs.c.name, jobs.c.status)
    with engine.store.database.read() as session:
        found = session.execute(sa.select(*columns).where(jobs.c.workflow_uuid == run_id)).all()
    assert len(found) <= 1
    return tuple(found[0]) if found else ()


def start(engine: Engine, run_id: str, worker: str = "w1") -> int:
    """Have a worker that is alive take a run; give the attempt."""
    engine.store.claim_worker(worker, "g", {}, "cpu", 60.0, lambda holder: False)
    attempt = engine.store.begin_attempt(run_id, worker, "g")
    assert attempt is not None
    return attempt.number


def test_a_run_and_its_job_are_written_together_with_what_was_said(engine: Engine) -> None:
    run_id = engine.submit(SPEC, owner="ann", title="Mine", tags=("a",), priority=3)
    record = engine.store.run(run_id)
    assert (record.state, record.owner, record.title) == ("queued", "ann", "Mine")
    assert record.tags == ("a",)
    assert job(engine, run_id) == ("runs", "compute_run", "ENQUEUED")
    study = engine.submit(STUDY)
    assert job(engine, study)[:2] == ("studies", "conduct_study")


def test_a_run_whose_parent_is_missing_leaves_neither_row_nor_job(engine: Engine) -> None:
    with pytest.raises(UserError, match="no run 'nobody' to build on"):
        engine.submit(SPEC, parents=("nobody",))
    assert engine.store.count_runs() == 0
    jobs = jobs_table(engine.store.database)
    with engine.store.database.read() as session:
        count = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.name == "compute_run")
        assert session.scalar(count) == 0


def test_the_queue_opens_by_itself_before_it_is_needed(engine: Engine) -> None:
    engine._opener.join(60)
    assert engine._queue._opened is not None
    assert set(client.__all__) <= set(dir(client))


def test_the_order_is_the_kinds_unless_another_is_given(engine: Engine) -> None:
    usual, last, first = (engine.submit(SPEC, priority=p) for p in (None, 99, 1))
    assert [engine.store.run(id).ahead for id in (usual, last, first)] == [1, 2, 0]
    study = engine.submit(STUDY)
    from worker.store.tables import Run

    with engine.store.database.read() as session:
        kept = dict(session.execute(sa.select(Run.id, Run.priority)).all())
    wanted = {usual: PRIORITIES["localize"], last: 99, first: 1, study: PRIORITIES["study"]}
    assert kept == wanted


def test_the_same_key_of_the_same_owner_makes_one_run(engine: Engine) -> None:
    first = engine.submit(SPEC, owner="ann", key="k")
    assert engine.submit(SPEC, owner="ann", key="k") == first
    others = {
        engine.submit(SPEC, owner="ann", key="another"),
        engine.submit(SPEC, owner="ben", key="k"),
        engine.submit(SPEC, owner="ann"),
        engine.submit(SPEC, owner="ann"),
    }
    assert len(others - {first}) == 4 and engine.store.count_runs() == 5


def test_runs_are_their_sessions_unless_another_is_named(engine: Engine) -> None:
    from worker.store.tables import Run

    own = engine.of_session("tab 1")
    runs = {own.submit(SPEC): "tab 1", own.submit(SPEC, session="tab 2"): "tab 2"}
    runs |= {engine.submit(SPEC): "", own.submit(SPEC, session=""): ""}
    with engine.store.database.read() as session:
        kept = dict(session.execute(sa.select(Run.id, Run.session)).all())
    assert kept == runs
    assert (engine.session, own.session, own.store) == ("", "tab 1", engine.store)


def test_a_waiting_run_is_cancelled_at_once_and_its_job_with_it(engine: Engine) -> None:
    run_id = engine.submit(SPEC)
    engine.cancel(run_id)
    assert engine.store.run(run_id).state == "cancelled"
    assert job(engine, run_id)[2] == "CANCELLED"
    with pytest.raises(NotFound):
        engine.cancel("nobody")


def test_a_run_that_a_worker_computes_is_asked_to_stop_and_its_job_left(engine: Engine) -> None:
    run_id = engine.submit(SPEC)
    number = start(engine, run_id)
    engine.cancel(run_id)
    assert engine.store.run(run_id).state == "loading"
    assert job(engine, run_id)[2] == "ENQUEUED"
    engine.store.finish(run_id, number, "done")
    engine.cancel(run_id)
    assert engine.store.run(run_id).state == "done"


def test_a_waiting_studys_children_are_cancelled_with_it_and_another_runs_are_not(
    engine: Engine,
) -> None:
    study, plain = engine.submit(STUDY), engine.submit(SPEC)
    children = [engine.submit(SPEC, parents=(parent,)) for parent in (study, study, plain)]
    engine.cancel(study)
    engine.cancel(plain)
    assert [engine.store.run(id).state for id in children] == ["cancelled", "cancelled", "queued"]


def follow(engine: Engine, run_id: str, after: int = -1) -> list[tuple[int, Event]]:
    async def read() -> list[tuple[int, Event]]:
        async with asyncio.timeout(60):
            return [one async for one in engine.follow(run_id, after)]

    return asyncio.run(read())


def done(engine: Engine, spec: Spec = SPEC) -> str:
    run_id = engine.submit(spec)
    number = start(engine, run_id)
    engine.store.append(run_id, number, (Event(type="log", message="half"),))
    engine.store.finish(run_id, number, "done")
    return run_id


def test_a_finished_runs_events_are_given_once_from_where_they_are_asked_for(
    engine: Engine,
) -> None:
    run_id = done(engine)
    every = follow(engine, run_id)
    assert [offset for offset, _ in every] == list(range(len(every)))
    assert (every[0][1].state, every[-1][1].state) == ("queued", "done")
    assert [e.message for _, e in every if e.type == "log"] == ["half"]
    assert follow(engine, run_id, 1) == every[2:] == engine.events(run_id, 1)
    assert engine.events(run_id) == every
    assert follow(engine, run_id, len(every) - 1) == []
    with pytest.raises(NotFound):
        follow(engine, "nobody")


def test_who_follows_a_run_hears_what_happens_meanwhile_and_ends_with_it(engine: Engine) -> None:
    run_id = engine.submit(SPEC)

    async def read() -> list[Event]:
        heard = []
        async with asyncio.timeout(60):
            async for _, event in engine.follow(run_id):
                heard.append(event)
                if len(heard) == 1:
                    number = await asyncio.to_thread(start, engine, run_id)
                    await asyncio.to_thread(engine.store.finish, run_id, number, "done")
        return heard

    states = [event.state for event in asyncio.run(read()) if event.type == "state"]
    assert (states[0], states[-1]) == ("queued", "done")


class Left(Exception):
    """Somebody waits for news."""


class Never(asyncio.Event):
    """News that never come."""

    async def wait(self) -> Any:
        raise Left


def test_who_follows_reads_once_and_waits_for_news_and_nobody_waits_for_those_of_a_finished_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, over = engine.submit(SPEC), done(engine)
    monkeypatch.setattr(engine._watch, "subscribe", lambda run_id: nullcontext(Never()))
    events, reads = engine.store.events, list[int]()
    monkeypatch.setattr(engine.store, "events", lambda *given: reads.append(1) or events(*given))
    assert follow(engine, over)[-1][1].state == "done"
    assert len(reads) == 1, "its last event says that there will be no more"
    with pytest.raises(Left):
        follow(engine, waiting)
    assert len(reads) == 3


def test_a_database_in_trouble_makes_a_follower_wait_and_another_fault_is_raised(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = done(engine)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    # This module's alone: other threads wait by the same function.
    monkeypatch.setattr(client, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    events: Callable[..., Any] = engine.store.events
    faults: list[Exception] = [sa.exc.OperationalError("q", {}, Exception("gone"))] * 2

    def troubled(*given: Any) -> Any:
        if faults:
            raise faults.pop()
        return events(*given)

    monkeypatch.setattr(engine.store, "events", troubled)
    assert follow(engine, run_id)[-1][1].state == "done"
    assert faults == [] and slept == [1.0, 1.0]
    faults.append(KeyError("a bug"))
    with pytest.raises(KeyError):
        follow(engine, run_id)


def test_questions_go_to_the_lanes_with_the_engines_store(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(client, "ask", lambda *given: asked.append(given) or {"is": "there"})
    monkeypatch.setattr(client, "follow", lambda *given: asked.append(given) or "told")
    question: Any = object()
    assert engine.ask(question, 3) == {"is": "there"} and engine.answer(question, 4) == "told"
    assert engine.ask(question) and asked == [
        (engine.store, question, 3),
        (engine.store, question, 4),
        (engine.store, question, 10),
    ]


def test_a_queue_that_cannot_be_opened_is_logged_and_tried_again_when_it_is_needed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = Engine(engine.store)

    def fail() -> None:
        raise RuntimeError("no room")

    with monkeypatch.context() as broken:
        broken.setattr(other._queue, "client", fail)
        other._open_behind()
    assert "the queue could not be opened: RuntimeError('no room')" in caplog.text
    first = other._client()
    assert other._client() is first
    other._queue.close()
