"""What waits for a database that is away, and what goes on whatever happens."""

import logging
import sqlite3
import threading
import time
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from worker.contract.errors import UserError
from worker.engine import patience
from worker.engine.patience import FIRST_PAUSE, LONGEST_PAUSE, Patience, Stopped, keep_doing


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


def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (0.5, 5.0)
    monkeypatch.setattr(patience, "FIRST_PAUSE", FIRST_PAUSE)
    monkeypatch.setattr(patience, "LONGEST_PAUSE", LONGEST_PAUSE)
    waits, pauses = Patience("w1"), list[float]()
    monkeypatch.setattr(waits._stopping, "wait", pauses.append)

    def step() -> str:
        if len(pauses) < 6:
            raise locked()
        return "done"

    assert waits(step) == "done"
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_loop_keeps_its_pace_and_slows_down_while_its_step_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, slept, calls = [100.0], list[float](), list[int]()

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    # This module's alone: other threads wait by the same functions.
    own = {"monotonic": lambda: now[0], "sleep": sleep}
    monkeypatch.setattr(patience, "time", SimpleNamespace(**vars(time) | own))
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 5.0)

    def step() -> None:
        calls.append(1)
        now[0] += 0.25 if len(calls) != 2 else 9.0  # what the step itself takes
        if 3 <= len(calls) <= 7:
            raise KeyError("x")

    keep_doing(step, 1.0, lambda: len(calls) == 9)
    assert slept == [0.75, 0.0, 1.75, 3.75, 4.75, 4.75, 4.75, 0.75, 0.75]
    slept.clear(), calls.clear()
    keep_doing(step, 7.0, lambda: len(calls) == 5)
    assert slept == [6.75, 0.0, 6.75, 6.75, 6.75], "never sooner than it is usually done"
