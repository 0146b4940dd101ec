"""Which job is told of its process' death: the one that was computed, and no other."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.worker.engine.test_resolve import result
from worker.contract.base import Contract
from worker.contract.inputs import AskReadFacts, Inputs, KeptElsewhere
from worker.contract.menu import Announcement
from worker.contract.selection import FactsSpec
from worker.contract.spec import LocalizeSpec
from worker.engine import slot as slots
from worker.engine.facing import Place
from worker.engine.lane import Lane
from worker.engine.slot import Died, Slot
from worker.engine.wire import Announced, Answered, Ask, Began, Cancel, Ended, Failed, Lease, Start

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


def test_what_a_process_keeps_is_known_as_its_last_run_said_and_dies_with_it(slot: Slot) -> None:
    assert slot.kept == KeptElsewhere()
    for keys in (("one",), ("one", "two")):
        slot.start("r", run("r"))
        said = KeptElsewhere(keys=keys, weights={"demo": "hash"})
        FakeChild.alive[0].say(Ended(job="r", result=result(), kept=said))
        assert slot.kept == said
    slot.kill()
    slot.keep_warm()
    assert slot.kept == KeptElsewhere(), "the next process has measured nothing"


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


def test_a_lease_is_sent_once_there_is_one_and_first_to_the_next_process(slot: Slot) -> None:
    assert FakeChild.alive[0].sent == [], "the process has its own until then"
    assert slot.computed_for() == 0.0
    slot.renew(50.0)
    assert FakeChild.alive[0].sent == [Lease(until=50.0)]
    slot.ask("a", question())
    slot.kill()
    slot.keep_warm()
    assert FakeChild.alive[1].sent[0] == Lease(until=50.0)
    assert FakeChild.alive[1].jobs() == ["a"]


def test_a_closed_slot_starts_nothing_and_tells_of_no_death(slot: Slot) -> None:
    computed = slot.ask("a", question())
    FakeChild.alive[0].say(Began(job="a"))
    slot.close()
    assert FakeChild.alive[0].dead.is_set()
    assert not computed.done() and slot.problem == ""
    with pytest.raises(RuntimeError, match="stopping"):
        slot.ask("b", question())
    assert len(FakeChild.alive) == 1


def test_a_start_that_failed_is_not_repeated_at_once_and_says_why_until_one_succeeds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now, heard = [1000.0], list[Announced]()
    monkeypatch.setattr(slots, "Child", FakeChild)
    monkeypatch.setattr(FakeChild, "alive", [])
    monkeypatch.setattr(FakeChild, "tail", lambda self: ["first", "no device here"])
    monkeypatch.setattr(slots.time, "monotonic", lambda: now[0])
    made = Slot("runs", [], tmp_path / "log", heard.append, 10.0)
    made.keep_warm()
    made.kill()
    assert made.problem == ("The computing process died: it was ended by SIGKILL. no device here")
    now[0] += 10.0
    made.keep_warm()
    assert len(FakeChild.alive) == 1
    now[0] += 0.1
    made.keep_warm()
    FakeChild.alive[1].say(ANNOUNCED)
    assert (made.problem, made.announcement, heard) == ("", ANNOUNCED.announcement, [ANNOUNCED])
    made.kill()
    made.keep_warm()
    assert len(FakeChild.alive) == 3, "one that had announced is replaced at once"
