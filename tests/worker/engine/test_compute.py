"""The compute process alone: what it says first, and what ends it."""

import io
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from tests.worker.engine.test_resolve import MENU, result, spec
from worker.contract.errors import Cancelled, Diverged, NotFound, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskReadFacts, Inputs, KeptElsewhere
from worker.contract.menu import Announcement, ModelInfo, Placement
from worker.contract.settings import Settings
from worker.engine import compute as engine_compute
from worker.engine.compute import Pipe, PipeReport, announce, next_job, work
from worker.engine.wire import (
    Announced,
    Answered,
    Ask,
    Began,
    Cancel,
    Ended,
    Failed,
    Lease,
    Start,
    Told,
    decode_from_compute,
    encode,
)

FOLDER = Path(__file__).parent


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "worker.engine.compute", "--door", "fake_door"]
    process = subprocess.Popen(
        [*command, "--parent", str(os.getpid()), "--lease", "120"],
        env=os.environ
        | {"LETHE_DATA": str(tmp_path), "LETHE_DEVICE": "cpu", "PYTHONPATH": f".:{FOLDER}"},
        cwd=FOLDER.parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_it_announces_first_and_prints_of_libraries_go_to_the_log(
    compute: subprocess.Popen[bytes],
) -> None:
    first = decode_from_compute(compute.stdout.readline())
    assert isinstance(first, Announced)
    assert first.announcement.device == "cpu"
    assert [fact_set.name for fact_set in first.fact_sets] == ["tiny"]
    compute.stdin.close()
    assert b"a library prints" in compute.stderr.read()


def test_it_ends_when_its_pipe_is_closed(compute: subprocess.Popen[bytes]) -> None:
    compute.stdout.readline()
    compute.stdin.close()
    assert compute.wait(timeout=30) == 1


def test_it_is_ended_by_the_kernel_when_its_lease_runs_out(
    compute: subprocess.Popen[bytes],
) -> None:
    compute.stdout.readline()
    compute.stdin.write(encode(Lease(until=time.monotonic() + 0.3)))
    compute.stdin.flush()
    assert compute.wait(timeout=30) == -signal.SIGALRM


def test_it_does_not_begin_when_its_parent_is_already_gone() -> None:
    command = [sys.executable, "-m", "worker.engine.compute", "--parent", "1", "--lease", "120"]
    ended = subprocess.run(command, cwd=FOLDER.parents[2], stdin=subprocess.DEVNULL, timeout=60)
    assert ended.returncode == 1


class SlowDoor(ModuleType):
    """A door that lists the models of a data folder; `meanwhile` happens when it has looked."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__("slow_door")
        self._meanwhile = meanwhile

    def look(self, chosen: Settings) -> tuple[tuple[str, str], ...]:
        found = sorted(chosen.own_models.glob("*/config.json"))
        return tuple((one.parent.name, one.read_text()) for one in found)

    def announce(self, chosen: Settings) -> Announcement:
        found = self.look(chosen)
        self._meanwhile()
        models = tuple(ModelInfo(id=id, title=title) for id, title in found)
        return Announcement(methods=(), models=models, fact_sets=(), device="cpu")

    def bundled_fact_sets(self) -> list[Any]:
        return []


def bring(folder: Path, title: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(title)


@pytest.mark.parametrize(
    ("meanwhile", "then"),
    [
        (lambda models: bring(models / "new", "n"), {"new": "n", "old": "damaged"}),
        (lambda models: shutil.rmtree(models / "old"), {}),
        (lambda models: (models / "old").rename(models / "other"), {"other": "damaged"}),
        (lambda models: bring(models / "old", "mended"), {"old": "mended"}),
        (lambda models: None, {"old": "damaged"}),
    ],
    ids=["added", "removed", "renamed", "mended", "nothing"],
)
def test_what_happens_to_models_while_they_are_listed_is_announced_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Any, then: dict[str, str]
) -> None:
    chosen = Settings(data=tmp_path, device="cpu")
    monkeypatch.setattr(engine_compute, "settings", lambda: chosen)
    bring(chosen.own_models / "old", "damaged")
    told: list[Announced] = []
    pipe: Any = SimpleNamespace(send=told.append)
    models = SimpleNamespace(held=())

    def said() -> dict[str, str]:
        return {one.id: one.title for one in told[-1].announcement.models}

    door = SlowDoor(lambda: meanwhile(chosen.own_models))
    known = engine_compute.announce(door, models, pipe)
    assert said() == {"old": "damaged"}
    assert (engine_compute.what_models(door, models) != known) == (then != said())

    door = SlowDoor(lambda: None)
    known = engine_compute.announce(door, models, pipe)
    assert said() == then
    assert engine_compute.what_models(door, models) == known, "it is announced once"


class Said:
    """A pipe without a supervisor: what was said through it, in order."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self.pipe = Pipe(io.BytesIO(), self._out)

    def lines(self) -> list[Any]:
        return [decode_from_compute(line) for line in self._out.getvalue().splitlines()]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """Nothing is told by time: what is gathered is sent when the test or the end says so."""
    monkeypatch.setattr(engine_compute, "FLUSH_SECONDS", 3600.0)
    return Said()


RUN = Start(job="r.1", spec=spec(), inputs=Inputs(out="/out"))
QUESTION = Ask(job="q", question=AskReadFacts(path="p", filename="a.csv"))


KEPT = KeptElsewhere(keys=("one",), weights={"demo": "hash"})


def door(does: Any) -> Any:
    return cast(Any, SimpleNamespace(run=does, answer=does, kept=lambda models: KEPT))


def test_a_run_is_said_to_begin_told_of_and_ended_with_its_result(said: Said) -> None:
    def run(asked: Any, inputs: Any, report: Any, models: Any) -> Any:
        assert (asked, inputs, models) == (RUN.spec, RUN.inputs, "models")
        report.progress(-1, "begins")
        report.progress(0.25, "later")
        report.log("a line")
        report.partial("row", {"n": 1})
        report.progress(7, "over")
        return result()

    said.pipe.cancelled.add("another")
    work(door(run), "models", said.pipe, RUN)
    began, told, over = said.lines()
    assert began == Began(job="r.1")
    assert isinstance(told, Told) and told.job == "r.1"
    assert [(e.type, e.fraction) for e in told.events] == [
        ("log", None), ("partial", None), ("progress", 1.0),
    ], "of progress only the last"  # fmt: skip
    assert (told.events[1].name, told.events[1].data) == ("row", {"n": 1})
    assert over == Ended(job="r.1", result=result(), kept=KEPT)
    assert said.pipe.cancelled == {"another"}


def test_what_a_run_is_expected_to_take_is_told_at_once(said: Said) -> None:
    report = PipeReport(said.pipe, "r.1")
    report.expect(90.0)
    [told] = said.lines()
    assert (told.events[0].seconds_left, told.events[0].fraction) == (90.0, 0.0)
    report.close()
    assert len(said.lines()) == 1, "nothing is said twice, nor where there is nothing to say"


def test_a_question_is_answered_in_its_contracts_json(said: Said) -> None:
    def answer(question: Any, models: Any, report: Any) -> Any:
        assert question == QUESTION.question
        return SimpleNamespace(model_dump=lambda mode: {"as": mode})

    work(door(answer), None, said.pipe, QUESTION)
    assert said.lines()[1:] == [Answered(job="q", answer={"as": "json"})]


def test_a_job_that_was_cancelled_ends_at_its_next_report_or_never_begins(said: Said) -> None:
    def run(asked: Any, inputs: Any, report: Any, models: Any) -> None:
        said.pipe._hear(Cancel(job="r.1"))
        report.log("last words")
        raise AssertionError("it went on")

    work(door(run), None, said.pipe, RUN)
    _, told, over = said.lines()
    assert told.events[0].message == "last words"
    assert (over.kind, over.job, over.message) == ("cancelled", "r.1", "the run was cancelled")
    assert said.pipe.cancelled == set(), "another attempt has another name"
    said.pipe.cancelled.add("r.1")
    work(door(run), None, said.pipe, RUN)
    [never] = said.lines()[3:]
    assert (never.kind, never.message) == ("cancelled", "It was cancelled before it began.")


class OutOfMemoryError(Exception):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (UserError("No such thing.", field="f"), "user", "No such thing."),
        (NotFound("Nowhere.", field="f"), "missing", "Nowhere."),
        (Cancelled("stopped"), "cancelled", "stopped"),
        (Diverged("it is NaN"), "diverged", "it is NaN"),
        (OSError(28, "full"), "disk", "The disk is full. Free some space and try again."),
        (MemoryError("x"), "oom", "MemoryError: x"),
        (OutOfMemoryError("x"), "oom", "OutOfMemoryError: x"),
        (RuntimeError("CUDA Out of Memory."), "oom", "RuntimeError: CUDA Out of Memory."),
        (RuntimeError("[enforce] can't allocate memory"), "oom", None),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), "oom", None),
        (RuntimeError("shapes"), "bug", "RuntimeError: shapes"),
        (ValueError("out of memory"), "bug", "ValueError: out of memory"),
    ],
)
def test_how_a_job_failed_is_said_by_its_kind(
    said: Said, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, message: str | None
) -> None:
    freed: list[int] = []
    monkeypatch.setattr(engine_compute, "_free_memory", lambda: freed.append(1))

    def run(*given: Any) -> None:
        raise error

    work(door(run), None, said.pipe, RUN)
    failed = said.lines()[-1]
    assert isinstance(failed, Failed)
    assert (failed.job, failed.kind) == ("r.1", kind)
    assert message is None or failed.message == message
    assert failed.problems == ((("f", failed.message),) if isinstance(error, UserError) else ())
    traced = kind in ("disk", "oom", "bug")
    assert bool(failed.traceback) == traced
    assert not traced or type(error).__name__ in failed.traceback[-1]
    assert freed == ([1] if kind == "oom" else [])


def test_what_cannot_be_told_ends_the_run_at_its_next_report(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_compute, "FLUSH_SECONDS", 0.001)
    report = PipeReport(said.pipe, "r.1")

    def fail(message: Any) -> None:
        raise ValueError("no JSON")

    monkeypatch.setattr(said.pipe, "send", fail)
    report.log("a line")
    report._flusher.join(60)
    with pytest.raises(ValueError, match="no JSON"):
        report.log("another")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="no JSON"):
        report.close()


def test_jobs_wait_in_order_and_a_lease_is_none(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_compute, "LOOK_SECONDS", 0.001)
    renewed: list[float] = []
    monkeypatch.setattr(engine_compute, "renew", renewed.append)
    assert next_job(said.pipe) is None
    for message in (RUN, Lease(until=5.0), QUESTION):
        said.pipe._hear(message)
    assert (next_job(said.pipe), next_job(said.pipe), renewed) == (RUN, QUESTION, [5.0])
    with pytest.raises(queue.Empty):
        said.pipe.jobs.get_nowait()


def test_it_announces_which_models_are_held_and_where_with_the_bundled_facts(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_compute, "settings", lambda: "chosen")
    facts = FactSet(name="s", facts=(Fact(id="i", subject="S", prompt="{} is", target="t"),))
    door = SimpleNamespace(
        announce=lambda chosen: MENU,
        bundled_fact_sets=lambda: [facts],
        look=lambda chosen: ("looked", chosen),
    )
    there = Placement(main="cuda:0", blocks=("cuda:0", "cpu"))
    models = SimpleNamespace(held=["other", "gone"], placements={"other": there})
    assert announce(cast(Any, door), models, said.pipe) == (
        ("gone", "other"), ("looked", "chosen"),
    )  # fmt: skip
    [announced] = said.lines()
    assert isinstance(announced, Announced) and announced.fact_sets == (facts,)
    told = announced.announcement.models
    assert [(m.id, m.loaded, m.placement) for m in told] == [
        ("demo", False, MENU.models[0].placement), ("other", True, there),
    ]  # fmt: skip


def test_a_lease_sets_the_kernels_alarm_and_one_that_is_over_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alarms: list[tuple[int, float]] = []
    monkeypatch.setattr(engine_compute.signal, "setitimer", lambda *given: alarms.append(given))
    monkeypatch.setattr(engine_compute.time, "monotonic", lambda: 100.0)
    engine_compute.renew(130.0)
    engine_compute.renew(40.0)
    assert alarms == [(signal.ITIMER_REAL, 30.0), (signal.ITIMER_REAL, 0.001)]


@pytest.mark.parametrize("has_gpu", [True, False, None])
def test_after_too_little_memory_what_is_left_over_is_let_go(
    has_gpu: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    cuda = SimpleNamespace(
        is_available=lambda: has_gpu, empty_cache=lambda: done.append("the device's")
    )
    torch = None if has_gpu is None else SimpleNamespace(cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", cast(Any, torch))
    monkeypatch.setattr(engine_compute.gc, "collect", lambda: done.append("the process's"))
    engine_compute._free_memory()
    assert done == ["the process's", *(["the device's"] if has_gpu else [])]


def test_jobs_are_done_in_turn_and_models_are_announced_again_only_when_they_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Over(Exception):
        pass

    looks, jobs = iter(["old", "new", "new"]), iter([None, RUN, QUESTION])
    happened: list[Any] = []
    known = iter(["old", "new"])

    def following(pipe: Any) -> Any:
        try:
            return next(jobs)
        except StopIteration:
            raise Over from None

    door = SimpleNamespace(open_models=lambda chosen: "models")
    pipe = SimpleNamespace(listen=lambda: None)
    monkeypatch.setitem(sys.modules, "a_door_of_this_test", cast(Any, door))
    for name, stand_in in {
        "faulthandler": SimpleNamespace(enable=lambda: None),
        "die_with": lambda parent: happened.append(parent),
        "renew": lambda until: None,
        "take_pipes": lambda: pipe,
        "settings": lambda: None,
        "next_job": following,
        "announce": lambda *given: happened.append("announced") or next(known),
        "what_models": lambda *given: next(looks),
        "work": lambda door, models, pipe, job: happened.append(job),
    }.items():
        monkeypatch.setattr(engine_compute, name, stand_in)
    with pytest.raises(Over):
        engine_compute.main(["--door", "a_door_of_this_test", "--parent", "7", "--lease", "60"])
    assert happened == [7, "announced", RUN, "announced", QUESTION]
