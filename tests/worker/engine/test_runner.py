"""From a run's attempt to its final state, by a slot that answers as the test says: no process.

And what a supervisor adds to progress: it never goes back, and what is left is believable.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from tests.worker.engine.test_resolve import MENU, queued, result, spec
from worker.contract.progress import Event
from worker.engine import runner
from worker.engine.runner import SMALLEST_BATCH, Runner, Telling
from worker.engine.slot import Died
from worker.engine.timing import Timing
from worker.engine.wire import Ended, Failed, Start, Told
from worker.store.attempts import MAX_CRASHES, Adopted
from worker.store.store import Store
from worker.store.tables import Run, database_time

TIMING = Timing(poll=0.002, grace=0.02)
Answer = Callable[[Start], list[Any]]


class Computes:
    """A slot whose process answers one start after the other; notes what it was asked."""

    announcement = MENU

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.started: list[Start] = []
        self.done: list[str] = []

    def start(self, job: str, start: Start) -> "SimpleQueue[Any]":
        assert job == start.job
        self.started.append(start)
        replies: SimpleQueue[Any] = SimpleQueue()
        for one in self.answers.pop(0)(start):
            replies.put(one)
        return replies

    def cancel(self, job: str) -> None:
        self.done.append(f"cancel {job}")

    def end(self, job: str) -> None:
        self.done.append(f"end {job}")

    def kill(self) -> None:
        self.done.append("kill")


class Bench:
    """A runner of the worker `w1` over a store, with a slot that answers as it is told."""

    def __init__(self, store: Store, folder: Path, *answers: Answer) -> None:
        self.store, self.slot, self.adopted = store, Computes(*answers), 0
        self.folder = folder / "work"
        store.claim_worker("w1", "g1", {}, "cpu", 1e9, lambda holder: True)
        self.runner = Runner(
            store, cast(Any, self.slot), worker="w1", generation="g1", folder=self.folder,
            timing=TIMING, on_adopted=self._note_adopted,
        )  # fmt: skip

    def _note_adopted(self) -> None:
        self.adopted += 1

    def carry_out(self) -> Any:
        """Submit a run, carry it out and give what became of it; nothing is left in the folder."""
        run_id = queued(self.store, spec())
        self.runner.carry_out(run_id)
        assert self.runner.run_id == ""
        assert list(self.folder.iterdir()) == []
        return self.store.run(run_id)


@pytest.fixture
def bench(store: Store, tmp_path: Path) -> Callable[..., Bench]:
    return lambda *answers: Bench(store, tmp_path, *answers)


def ended(start: Start) -> list[Any]:
    out = Path(start.inputs.out)
    (out / "more").mkdir()
    (out / "d.safetensors").write_bytes(b"delta")
    (out / "more/x").write_bytes(b"x")
    told = Told(job=start.job, events=(Event(type="progress", fraction=0.5),))
    return [told, Ended(job=start.job, result=result(files={"delta": "d.safetensors"}))]


def failed(kind: Any, message: str = "words", **more: Any) -> Answer:
    return lambda start: [Failed(job=start.job, kind=kind, message=message, **more)]


def died(number: int) -> Answer:
    child = SimpleNamespace(fate=lambda: "it fell", tail=lambda: ["last words"], signal=number)
    return lambda start: [Died(cast(Any, child))]


def test_a_run_that_ends_keeps_its_result_and_every_file(bench: Any) -> None:
    one = bench(ended)
    record = one.carry_out()
    assert (record.state, record.attempt, record.fraction) == ("done", 1, 1.0)
    found = one.store.result(record.id)
    assert found is not None and found.files == {"delta": "d.safetensors"}
    assert one.store.artifacts.names(f"runs/{record.id}") == [
        f"runs/{record.id}/d.safetensors", f"runs/{record.id}/more/x",
    ]  # fmt: skip
    [start] = one.slot.started
    assert start.job == f"{record.id}.1" and start.spec == spec()
    assert (start.inputs.batch_scale, start.inputs.mask.source) == (1.0, "chosen by hand")
    assert start.inputs.out == str(one.folder / start.job / "out")
    assert list(start.inputs.paces) != []
    states = [event.state for _, event in one.store.events(record.id) if event.type == "state"]
    assert states == ["queued", "loading", "running", "done"]
    assert one.slot.done == []
    one.runner.carry_out(record.id)
    assert len(one.slot.started) == 1, "what has ended is not begun again"


def test_what_the_spec_names_and_is_not_there_fails_before_anything_is_computed(
    bench: Any,
) -> None:
    one = bench()
    asked = spec(text="no such text")
    run_id = queued(one.store, asked)
    one.runner.carry_out(run_id)
    record = one.store.run(run_id)
    assert record.state == "failed" and record.message.startswith("No text 'no such text'")
    assert one.slot.started == []


@pytest.mark.parametrize(
    ("kind", "state", "message"),
    [
        ("user", "failed", "words"),
        ("missing", "failed", "words"),
        ("diverged", "failed", "words"),
        ("disk", "failed", "words"),
        ("cancelled", "cancelled", "Words."),
        ("bug", "failed", "This is a bug in Lethe or in a method: words (run RUN)"),
    ],
)
def test_what_a_run_raised_is_its_end_in_words(
    bench: Any, kind: str, state: str, message: str
) -> None:
    record = (one := bench(failed(kind, traceback=("line 1",)))).carry_out()
    assert (record.state, record.message) == (state, message.replace("RUN", record.id))
    assert one.store.log(record.id) == (["line 1"] if kind in ("bug", "disk") else [])


def test_a_run_that_took_too_much_memory_begins_again_with_half_the_batch(bench: Any) -> None:
    one = bench(failed("oom"), failed("oom"), ended)
    record = one.carry_out()
    assert (record.state, record.attempt) == ("done", 3)
    assert [start.inputs.batch_scale for start in one.slot.started] == [1.0, 0.5, 0.25]
    told = [event.message for _, event in one.store.events(record.id) if event.state]
    words = "The device ran out of memory; the run begins again with half the batch."
    assert told.count(words) == 2


def test_the_smallest_batch_is_the_last_try(bench: Any) -> None:
    one = bench(*[failed("oom", "no room", traceback=("a",))] * 9)
    record = one.carry_out()
    assert record.state == "failed" and one.slot.answers == []
    assert record.message == (
        "The device has too little memory even for the smallest batch: no room"
    )
    assert one.slot.started[-1].inputs.batch_scale == SMALLEST_BATCH == 1 / 256
    assert one.store.log(record.id) == ["a"]


def test_a_process_that_dies_is_tried_again_and_not_for_ever(bench: Any) -> None:
    one = bench(*[died(signal.SIGSEGV)] * (MAX_CRASHES + 1))
    record = one.carry_out()
    assert (record.state, record.attempt) == ("failed", MAX_CRASHES + 1)
    assert record.message.startswith("The computing process died: it fell. It was tried")
    assert one.store.log(record.id) == ["last words"] * (MAX_CRASHES + 1)
    assert {start.inputs.batch_scale for start in one.slot.started} == {1.0}


def test_a_process_that_the_kernel_killed_was_most_likely_short_of_memory(bench: Any) -> None:
    one = bench(died(signal.SIGKILL), ended)
    assert one.carry_out().state == "done"
    assert [start.inputs.batch_scale for start in one.slot.started] == [1.0, 0.5]


def test_a_lease_that_ran_out_is_the_databases_fault_and_no_crash(bench: Any) -> None:
    one = bench(*[died(signal.SIGALRM)] * (MAX_CRASHES + 2), ended)
    record = one.carry_out()
    assert (record.state, record.attempt) == ("done", MAX_CRASHES + 3)
    told = [event.message for _, event in one.store.events(record.id) if event.state]
    assert told.count("The database could not be reached for too long.") == MAX_CRASHES + 2


def test_a_cancel_is_passed_on_and_what_makes_no_report_is_ended(bench: Any) -> None:
    one = bench()
    run_id = queued(one.store, spec())

    def silent(start: Start) -> list[Any]:
        with one.store.database.write() as session:
            asked = sa.update(Run).where(Run.id == run_id)
            session.execute(asked.values(cancel_requested=database_time()))
        return []

    one.slot.answers = [silent]
    one.runner.carry_out(run_id)
    record = one.store.run(run_id)
    assert (record.state, record.message) == (
        "cancelled", "Cancelled; it made no report and was ended.",
    )  # fmt: skip
    assert one.slot.done == [f"cancel {run_id}.1", f"end {run_id}.1"]


def test_what_nobody_expected_is_a_bug_in_words_and_ends_the_computing(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: Exception) -> None:
        def put(*given: Any) -> None:
            raise error

        monkeypatch.setattr(type(one.store.artifacts), "put", put)

    one = bench(ended, ended)
    fail(KeyError("x"))
    record = one.carry_out()
    assert record.message == f"This is a bug in Lethe: KeyError('x') (run {record.id})"
    assert "KeyError: 'x'" in one.store.log(record.id)
    assert one.slot.done == [f"end {record.id}.1"]
    fail(OSError(28, "full"))
    record = one.carry_out()
    assert record.message == "The disk is full. Free some space and try again."
    assert one.store.log(record.id) == []


def test_a_run_that_another_worker_took_is_left_and_its_process_killed(bench: Any) -> None:
    one = bench()

    def taken(start: Start) -> list[Any]:
        one.store.claim_worker("w2", "g2", {}, "cpu", 1e9, lambda holder: True)
        one.store.begin_attempt(start.job.partition(".")[0], "w2", "g2")
        return [Ended(job=start.job, result=result())]

    one.slot.answers = [taken]
    record = one.carry_out()
    assert (record.state, record.attempt, record.worker) == ("loading", 2, "w2")
    assert one.slot.done == ["kill"]
    assert one.store.result(record.id) is None


def test_a_worker_that_was_taken_for_dead_says_so_and_begins_nothing(bench: Any) -> None:
    one = bench(ended)
    one.store.release_worker("w1", "g1")
    one.store.adopt_dead("w2", 60.0)
    run_id = queued(one.store, spec())
    with pytest.raises(Adopted):
        one.runner.carry_out(run_id)
    assert one.adopted == 1 and one.slot.started == []


def test_a_stop_lets_the_run_go_to_whoever_is_free(bench: Any) -> None:
    one, begun = bench(), threading.Event()

    def hold(start: Start) -> list[Any]:
        begun.set()
        return []

    one.slot.answers = [hold]
    run_id = queued(one.store, spec())
    threading.Thread(target=one.runner.carry_out, args=(run_id,), daemon=True).start()
    assert begun.wait(60)
    assert one.runner.run_id == run_id
    one.runner.stop()
    record = one.store.run(run_id)
    assert (record.state, record.attempt) == ("interrupted", 1)
    assert record.message == ("The worker was stopped; the run starts again when a worker is free.")


def test_a_stop_without_a_run_writes_nothing_and_work_of_before_is_cleared_away(
    store: Store,
    tmp_path: Path,
) -> None:
    left = tmp_path / "work" / "old.1"
    left.mkdir(parents=True)
    one = Bench(store, tmp_path)
    assert not left.exists()
    one.runner.stop()
    assert store.runs() == []


def progress(fraction: float, seconds: float | None = None) -> Event:
    return Event(type="progress", fraction=fraction, message="", seconds_left=seconds)


def told(telling: Telling, *events: Event) -> list[tuple[float | None, float | None]]:
    found = telling.complete(events)
    return [(e.fraction, e.seconds_left) for e in found if e.type == "progress"]


def test_progress_never_goes_back() -> None:
    telling = Telling()
    done = told(telling, *(progress(share) for share in (0.0, 0.4, 0.1, 0.39, 0.5)))
    assert [fraction for fraction, _ in done] == [0.0, 0.4, 0.4, 0.4, 0.5]


def test_a_stage_that_just_began_does_not_decide_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    telling = Telling()
    assert told(telling, progress(0.0, 100.0)) == [(0.0, 100.0)]
    told(telling, progress(0.001))
    now[0] = 0.1  # three hundredths in a tenth of a second: by its pace alone, 3 s would be left
    ((_, left),) = told(telling, progress(0.031))
    assert left is not None and 75 < left < 100
    now[0] = 50.0
    ((_, left),) = told(telling, progress(0.9))
    assert left is not None and 4 < left < 8


def test_without_a_word_beforehand_the_pace_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    telling = Telling()
    assert told(telling, progress(0.1)) == [(0.1, None)]
    now[0] = 10.0
    assert told(telling, progress(0.6)) == [(0.6, 8.0)]
