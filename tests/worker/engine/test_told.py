"""What is asked by many at the same moment is asked once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from worker.contract.errors import UserError
from worker.engine import told
from worker.engine.told import Told


def test_who_asks_the_same_meanwhile_waits_for_the_answer_of_the_first() -> None:
    known, begun, go_on = Told(), threading.Event(), threading.Event()
    asked: list[str] = []

    def slow() -> dict[str, int]:
        asked.append("slow")
        begun.set()
        assert go_on.wait(30)
        return {"n": 1}

    def other() -> dict[str, int]:
        asked.append("other")
        return {"n": 2}

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(known.of, "a", slow)
        assert begun.wait(30)
        same = [pool.submit(known.of, "a", other) for _ in range(2)]
        assert pool.submit(known.of, "b", other).result(30) == {"n": 2}
        assert not any(one.done() for one in same)
        go_on.set()
        assert [one.result(30) for one in (first, *same)] == [{"n": 1}] * 3
    assert asked == ["slow", "other"]


def test_an_answer_is_remembered_for_a_while() -> None:
    now = [0.0]
    known = Told(lambda: now[0])
    asked: list[int] = []

    def ask() -> dict[str, int]:
        asked.append(len(asked))
        return {"n": len(asked)}

    assert known.of("a", ask) == known.of("a", ask) == {"n": 1}
    now[0] = told.REMEMBERED + 1.0
    assert known.of("a", ask) == {"n": 2} and len(asked) == 2


def test_a_refusal_is_told_to_all_who_waited_and_asked_anew_after() -> None:
    known = Told()

    def refuse() -> dict[str, int]:
        raise UserError("No.")

    with pytest.raises(UserError, match=r"No\."):
        known.of("a", refuse)
    assert known.of("a", lambda: {"n": 1}) == {"n": 1}


def test_the_newest_answers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "KEPT", 2)
    known = Told()
    for name in ("a", "b", "c"):
        known.of(name, partial(dict, of=name))
    assert known.of("c", lambda: {"of": "new"}) == {"of": "c"}
    assert known.of("a", lambda: {"of": "new"}) == {"of": "new"}
