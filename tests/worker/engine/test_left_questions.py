"""A question that nobody waits for any more is ended while it is computed, and its process lives.

Real supervisors and compute processes; a long question tells a row every 20 ms for minutes.
"""

import asyncio
import os
import signal
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

from worker.contract.errors import UserError
from worker.contract.inputs import AskReadFacts
from worker.contract.progress import Event
from worker.engine.client import Superseded, WorkerBusy

LONG = "steps 100000"


@pytest.fixture(autouse=True)
def asked(busy: Any) -> Any:
    """The worker with an upload to ask about, and no notes of earlier tests."""
    busy.store.artifacts.put_bytes("uploads/u1/file", b"subject,target")
    (busy.data / "asked").unlink(missing_ok=True)
    busy.wait(lambda: len(busy.computes()) == 2)
    return busy


def question(filename: str = "facts.csv", reader: str = "") -> AskReadFacts:
    return AskReadFacts(path="uploads/u1/file", filename=filename, reader=reader)


def notes(fleet: Any) -> list[str]:
    path = fleet.data / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split('"what": "')[1].split('"')[0] for line in lines]


def begin(fleet: Any, pool: ThreadPoolExecutor, one: AskReadFacts) -> "Future[dict[str, Any]]":
    """Ask on a thread, and wait until the question is computed."""
    before = notes(fleet).count("start")
    asking = pool.submit(fleet.engine.ask, one, 60)
    fleet.wait(lambda: notes(fleet).count("start") > before)
    return asking


def pid(answer: dict[str, Any]) -> int:
    return int(answer["notes"][0])


def test_a_newer_question_of_a_reader_ends_the_older_one_and_the_process_stays_warm(
    asked: Any,
) -> None:
    first = pid(asked.engine.ask(question(), 60))
    with ThreadPoolExecutor() as pool:
        older = begin(asked, pool, question(LONG, reader="tab 1"))
        answer = asked.engine.ask(question(reader="tab 1"), 60)
        with pytest.raises(Superseded, match="newer question"):
            older.result(60)
    assert pid(answer) == first
    assert notes(asked) == ["start", "cancelled"]


def test_questions_of_other_readers_and_of_nobody_end_none(asked: Any) -> None:
    with ThreadPoolExecutor() as pool:
        older = begin(asked, pool, question("steps 20", reader="tab 1"))
        others = [pool.submit(asked.engine.ask, question(reader=r), 60) for r in ("tab 2", "", "")]
        assert pid(older.result(60)) == pid(others[0].result(60))
        assert all(other.result(60)["format"] == "csv" for other in others)
    assert notes(asked) == ["start", "end"]


def test_of_many_questions_of_a_reader_one_is_answered_and_the_others_never_begin(
    asked: Any,
) -> None:
    with ThreadPoolExecutor() as pool:
        blocking = begin(asked, pool, question("steps 30"))
        # Which of them arrives last is not known: each comes on a thread of its own.
        one = question("steps 1", reader="tab 1")
        found = [pool.submit(asked.engine.ask, one, 60).exception for _ in range(6)]
        ends = [exception(60) for exception in found]
        assert sum(isinstance(end, Superseded) for end in ends) == 5
        assert ends.count(None) == 1
        assert blocking.result(60)
    assert notes(asked) == ["start", "end", "start", "end"]


def test_a_question_that_timed_out_is_ended_while_it_is_computed(asked: Any) -> None:
    first = pid(asked.engine.ask(question(), 60))
    with pytest.raises(WorkerBusy, match=r"within 0\.2 s"):
        asked.engine.ask(question(LONG), 0.2)
    asked.wait(lambda: notes(asked) == ["start", "cancelled"])
    assert pid(asked.engine.ask(question(), 60)) == first


def test_what_is_told_comes_before_the_answer(asked: Any) -> None:
    async def all_of_it() -> list[Event | dict[str, Any]]:
        return [one async for one in asked.engine.answer(question("steps 5"), 60)]

    *told, answer = asyncio.run(all_of_it())
    assert [one.data for one in told if isinstance(one, Event)] == [{"step": i} for i in range(5)]
    assert isinstance(answer, dict) and answer["format"] == "csv"


def test_a_reader_who_leaves_ends_what_is_computed_for_it(asked: Any) -> None:
    async def read_two() -> list[Any]:
        rows = []
        async with aclosing(asked.engine.answer(question(LONG), 60)) as told:
            async for one in told:
                rows.append(one.data)
                if len(rows) == 2:
                    break
        return rows

    first = pid(asked.engine.ask(question(), 60))
    assert asyncio.run(read_two()) == [{"step": 0}, {"step": 1}]
    asked.wait(lambda: notes(asked) == ["start", "cancelled"])
    assert pid(asked.engine.ask(question(), 60)) == first


def test_a_followed_question_is_superseded_and_refused_in_the_same_words(asked: Any) -> None:
    async def read(one: AskReadFacts) -> list[Any]:
        return [told async for told in asked.engine.answer(one, 60)]

    with pytest.raises(UserError) as refused:
        asyncio.run(read(question("wrong")))
    assert refused.value.problems == [("file", "The file is wrong.")]
    with ThreadPoolExecutor() as pool:
        older = pool.submit(asyncio.run, read(question(LONG, reader="tab 1")))
        asked.wait(lambda: notes(asked))
        assert asyncio.run(read(question(reader="tab 1")))[-1]["format"] == "csv"
        with pytest.raises(Superseded):
            older.result(60)


def test_a_process_that_is_killed_while_a_question_is_computed_is_said_and_replaced(
    asked: Any,
) -> None:
    first = pid(asked.engine.ask(question(), 60))
    with ThreadPoolExecutor() as pool:
        killed = begin(asked, pool, question(LONG, reader="tab 1"))
        os.kill(first, signal.SIGKILL)
        with pytest.raises(UserError, match=r"died: it was ended by SIGKILL\. Ask again"):
            killed.result(60)
    assert pid(asked.engine.ask(question(reader="tab 1"), 60)) != first


def test_a_question_is_ended_while_the_database_is_locked(asked: Any) -> None:
    """Taking a question back asks nothing of the database."""
    if not asked.store.database.is_sqlite:
        pytest.skip("only SQLite locks as a whole")
    first = pid(asked.engine.ask(question(), 60))
    [lane] = asked.store.lanes()
    with ThreadPoolExecutor() as pool:
        older = begin(asked, pool, question(LONG, reader="tab 1"))
        locked = sqlite3.connect(asked.store.database.url.database)
        locked.execute("BEGIN IMMEDIATE")
        try:
            newer = pool.submit(asked.engine.ask, question(reader="tab 1"), 60)
            with pytest.raises(Superseded):
                older.result(60)
            assert pid(newer.result(60)) == first
            assert notes(asked) == ["start", "cancelled"]
        finally:
            locked.rollback()
            locked.close()
    assert [other.id for other in asked.store.lanes()] == [lane.id]
