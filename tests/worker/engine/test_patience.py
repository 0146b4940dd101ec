"""What waits for a database that is away, and what goes on whatever happens."""

import logging
import sqlite3
import threading

import pytest
from sqlalchemy.exc import OperationalError

from worker.contract.errors import UserError
from worker.engine import patience
from worker.engine.patience import Patience, Stopped, keep_doing


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 0.002)


def locked() -> OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("UPDATE runs", {}, error)


def test_a_step_is_done_again_while_the_database_is_in_trouble(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers: list[Exception | int] = [locked(), locked(), locked(), 7]

    def step() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert Patience("w1")(step) == 7
    assert "w1 waits: The database is locked" in caplog.text


@pytest.mark.parametrize("error", [UserError("no"), KeyError("x"), ValueError("disk is fine")])
def test_what_is_no_trouble_is_raised_at_once(error: Exception) -> None:
    calls: list[int] = []

    def step() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        Patience("w1")(step)
    assert calls == [1]


def test_nothing_begins_after_the_stop_and_the_last_step_is_done() -> None:
    waits, done = Patience("w1"), []
    waits.stop(lambda: done.append("last"))
    with pytest.raises(Stopped):
        waits(lambda: done.append("more"))
    assert done == ["last"]


def test_a_stop_ends_the_waiting_for_a_database_that_never_comes() -> None:
    waits, begun = Patience("w1"), threading.Event()
    ended: list[BaseException] = []

    def step() -> None:
        begun.set()
        raise locked()

    def wait() -> None:
        try:
            waits(step)
        except Stopped as stopped:
            ended.append(stopped)

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    waits.stop(lambda: None)
    thread.join(timeout=60)
    assert len(ended) == 1


@pytest.mark.parametrize("error", [locked(), KeyError("never named"), RuntimeError("nor this")])
def test_a_loop_goes_on_whatever_its_step_raises(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def step() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise error

    keep_doing(step, 0.001, lambda: len(calls) >= 5)
    assert len(calls) == 5
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 2
