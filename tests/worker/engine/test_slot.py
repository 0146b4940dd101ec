"""Which job is told of its process' death: the one that was computed, and no other."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from worker.contract.base import Contract
from worker.contract.inputs import AskReadFacts, Inputs
from worker.contract.menu import Announcement
from worker.contract.selection import FactsSpec
from worker.contract.spec import LocalizeSpec
from worker.engine import slot as slots
from worker.engine.facing import Place
from worker.engine.lane import Lane
from worker.engine.slot import Died, Slot
from worker.engine.wire import Announced, Answered, Ask, Began, Cancel, Failed, Start

ANNOUNCED = Announced(
    announcement=Announcement(methods=(), models=(), fact_sets=(), device="cpu"), fact_sets=()
)


class FakeChild:
    """Stands for a compute process: keeps what it was sent, and dies when it is told to."""

    alive: list["FakeChild"] = []
    signal = 0

    def __init__(self, arguments: Any, log: Path, on_message: Any, on_death: Any) -> None:
        self.sent: list[Contract] = []
        self.on_message, self.on_death = on_message, on_death
        self.dead = slots.threading.Event()
        FakeChild.alive.append(self)

    def send(self, message: Contract) -> None:
        self.sent.append(message)

    def say(self, message: Any) -> None:
        self.on_message(self, message)

    def kill(self) -> None:
        self.on_death(self)
        self.dead.set()

    def fate(self) -> str:
        return "it was ended by SIGKILL"

    def tail(self) -> list[str]:
        return []

    def jobs(self) -> list[str]:
        return [message.job for message in self.sent if isinstance(message, Start | Ask)]


@pytest.fixture
def slot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Slot:
    monkeypatch.setattr(slots, "Child", FakeChild)
    monkeypatch.setattr(FakeChild, "alive", [])
    made = Slot("runs", [], tmp_path / "log", lambda announced: None, 0.0)
    made.keep_warm()
    FakeChild.alive[0].say(ANNOUNCED)
    return made


def question() -> AskReadFacts:
    return AskReadFacts(path="/tmp/x", filename="x")


def run(job: str) -> Start:
    spec = LocalizeSpec(facts=FactsSpec(set="tiny"), method="fake")
    return Start(job=job, spec=spec, inputs=Inputs(out=""))


def died(future: "Future[Any]") -> bool:
    return future.done() and isinstance(future.exception(), Died)


def test_a_death_is_told_to_the_computed_job_and_those_who_wait_get_the_next_process(
    slot: Slot,
) -> None:
    first, second = slot.ask("a", question()), slot.ask("b", question())
    replies = slot.start("r", run("r"))
    FakeChild.alive[0].say(Began(job="a"))
    slot.kill()
    assert died(first) and not second.done() and replies.empty()
    slot.keep_warm()
    assert FakeChild.alive[1].jobs() == ["b", "r"]
    FakeChild.alive[1].say(ANNOUNCED)
    FakeChild.alive[1].say(Answered(job="b", answer={"x": 1}))
    assert second.result().answer == {"x": 1}


def test_a_process_that_dies_before_it_announced_is_told_to_everybody(slot: Slot) -> None:
    slot.kill()
    future, replies = slot.ask("a", question()), slot.start("r", run("r"))
    slot.kill()
    assert died(future) and isinstance(replies.get_nowait(), Died)


def test_a_job_that_waits_is_taken_back_and_the_computed_one_is_left_alone(slot: Slot) -> None:
    computed, waiting = slot.ask("a", question()), slot.start("r", run("r"))
    FakeChild.alive[0].say(Began(job="a"))
    slot.end("r")
    assert len(FakeChild.alive) == 1 and Cancel(job="r") in FakeChild.alive[0].sent
    FakeChild.alive[0].say(Failed(job="r", kind="cancelled", message="It was cancelled."))
    FakeChild.alive[0].say(Answered(job="a", answer={}))
    assert computed.done() and waiting.empty()


def test_a_computed_job_is_ended_with_its_process(slot: Slot) -> None:
    slot.start("r", run("r"))
    FakeChild.alive[0].say(Began(job="r"))
    slot.end("r")
    assert FakeChild.alive[0].dead.is_set()


def test_a_run_that_begins_in_the_moment_in_which_it_was_dropped_is_ended(slot: Slot) -> None:
    slot.start("r", run("r"))
    assert slot.drop("r")
    FakeChild.alive[0].say(Began(job="r"))
    assert FakeChild.alive[0].dead.is_set()
    slot.keep_warm()
    assert FakeChild.alive[1].jobs() == []


def test_only_a_question_that_is_computed_for_too_long_is_ended(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(slots.time, "monotonic", lambda: now)
    lane = Lane(None, slot, Place("127.0.0.1", "127.0.0.1"), longest=10.0)  # type: ignore[arg-type]
    slow, second = slot.ask("slow", question()), slot.ask("second", question())
    slot.start("r", run("r"))
    now += 9.0
    FakeChild.alive[0].say(Began(job="slow"))
    now += 9.0
    lane.end_stuck()
    assert not slow.done(), "it waited for 9 s and is computed for 9 s"
    FakeChild.alive[0].say(Answered(job="slow", answer={}))
    FakeChild.alive[0].say(Began(job="second"))
    now += 9.0
    lane.end_stuck()
    assert not second.done()
    FakeChild.alive[0].say(Answered(job="second", answer={}))
    FakeChild.alive[0].say(Began(job="r"))
    now += 100.0
    lane.end_stuck()
    assert not FakeChild.alive[0].dead.is_set(), "a run is no question"
    stuck = slot.ask("stuck", question())
    FakeChild.alive[0].say(Failed(job="r", kind="bug", message=""))
    FakeChild.alive[0].say(Began(job="stuck"))
    now += 11.0
    lane.end_stuck()
    assert died(stuck)
    lane.close()
