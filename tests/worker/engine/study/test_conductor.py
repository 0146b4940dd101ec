"""A study on the server: children that are deleted, and a database that stutters."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.records import RunRecord
from worker.contract.result import Provenance, Result
from worker.contract.selection import FactsSpec
from worker.contract.settings import Settings
from worker.contract.spec import Spec, StudySpec
from worker.contract.study import StudyMask, StudyMethod
from worker.engine import patience
from worker.engine.study import conductor as conducting
from worker.engine.study.conductor import Conductor
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.workers import run_is_computed

FACTS = FactSet(
    name="tiny",
    title="Tiny",
    facts=(Fact(id="a", subject="Ann", prompt="{} plays", target="golf"),),
)
STUDY = StudySpec(
    facts=FactsSpec(set="tiny", forget="first:1"),
    masks={"mlp": StudyMask(title="The MLP", components=("blocks.0.mlp",))},
    methods={"fake": StudyMethod(title="Fake", method="fake")},
    seeds=(0, 1),
)


def locked() -> OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("SELECT", {}, error)


class Lab:
    """A store with one worker's row, a conductor in a thread, and children computed by hand."""

    def __init__(self, store: Store) -> None:
        self.store, self.stopping = store, threading.Event()
        store.claim_worker("w1", "g", {}, "cpu", 60.0, lambda holder: False)
        model = ModelInfo(id="demo", title="Demo", component_parameters={"blocks.0.mlp": 10})
        said = Announcement(methods=(), models=(model,), fact_sets=(), device="cpu")
        store.announce("w1", "g", said)
        store.save_fact_set(FACTS)
        self.study = self.submit(STUDY)

    def submit(self, spec: Spec, *, session: str = "", **given: Any) -> str:
        values = {"owner": "", "title": "", "tags": (), "parents": None, "priority": 10, **given}
        with self.store.database.write() as database:
            return insert_run(database, spec, **values, browser=session)

    def cancel(self, run_id: str) -> None:
        self.store.request_cancel(run_id, run_is_computed())

    def conduct(self, **replaced: Any) -> threading.Thread:
        made = Conductor(
            self.store,
            replaced.get("submit", self.submit),
            replaced.get("cancel", self.cancel),
            worker="w1",
            generation="g",
            stopping=self.stopping,
        )
        thread = threading.Thread(target=made.carry_out, args=(self.study,), daemon=True)
        thread.start()
        return thread

    def open_children(self) -> list[RunRecord]:
        return [c for c in self.store.children(self.study) if c.state == "queued"]

    def wait(self, until: Callable[[], Any]) -> Any:
        pauses = threading.Event()
        for _ in range(6000):
            if found := until():
                return found
            pauses.wait(0.01)
        raise AssertionError("it did not happen within a minute")

    def compute(self, record: RunRecord) -> None:
        attempt = self.store.begin_attempt(record.id, "w1", "g")
        assert attempt is not None
        made = Provenance(
            model="demo", weights_hash="h", seed=0, device="cpu", dtype="", versions={}
        )
        result = Result(
            kind=record.kind,
            spec=record.spec,
            provenance=made,
            seconds=0.0,
            peak_memory_bytes=0,
            files={"delta": "delta"} if record.kind == "unlearn" else {},
        )
        self.store.finish(record.id, attempt.number, "done", result=result)

    def compute_all(self, kind: str) -> None:
        for child in self.wait(
            lambda: [c for c in self.open_children() if c.kind == kind][1:] and self.open_children()
        ):
            self.compute(child)

    def ended(self, thread: threading.Thread) -> RunRecord:
        thread.join(timeout=60)
        assert not thread.is_alive(), "the study hangs"
        return self.store.run(self.study)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(conducting, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.001)
    store = Store.open(Settings(data=tmp_path))
    yield Lab(store)
    store.close()


def test_a_finished_child_that_is_deleted_leaves_a_gap_and_the_study_ends(lab: Lab) -> None:
    thread = lab.conduct()
    first, second = lab.wait(lambda: lab.open_children()[1:] and lab.open_children())
    lab.compute(first)
    lab.store.delete_run(first.id)
    lab.compute(second)
    lab.compute(lab.wait(lambda: [c for c in lab.open_children() if c.kind == "evaluate"])[0])
    record = lab.ended(thread)
    result = lab.store.result(lab.study)
    assert record.state == "done", record.message
    assert result is not None
    assert "The run was deleted." in str(result.tables["failures"].rows)


def test_an_edit_that_is_deleted_before_it_is_evaluated_leaves_a_gap(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    result_of, deleted = lab.store.result, list[str]()

    def then_delete(run_id: str) -> Result | None:
        found = result_of(run_id)
        if lab.store.run(run_id).kind == "unlearn" and not deleted:
            deleted.append(run_id)
            lab.store.delete_run(run_id)
        return found

    monkeypatch.setattr(lab.store, "result", then_delete)
    thread = lab.conduct()
    lab.compute_all("unlearn")
    lab.compute(lab.wait(lambda: [c for c in lab.open_children() if c.kind == "evaluate"])[0])
    record = lab.ended(thread)
    assert record.state == "done", record.message
    monkeypatch.undo()
    result = lab.store.result(lab.study)
    assert result is not None and "no run" in str(result.tables["failures"].rows)


@pytest.mark.parametrize("where", ["children", "append", "is_cancel_requested", "result", "run"])
def test_a_database_that_stutters_ends_no_study(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    real, calls = getattr(lab.store, where), iter(range(10_000))

    def stutter(*given: Any, **named: Any) -> Any:
        if next(calls) % 3 < 2 and threading.current_thread() is not threading.main_thread():
            raise locked()
        return real(*given, **named)

    monkeypatch.setattr(lab.store, where, stutter)
    thread = lab.conduct()
    lab.compute_all("unlearn")
    lab.compute_all("evaluate")
    assert lab.ended(thread).state == "done"
    assert len(lab.store.children(lab.study)) == 4


def test_a_child_whose_submission_was_not_answered_is_not_submitted_twice(lab: Lab) -> None:
    tries: list[str] = []

    def submit(spec: Spec, **given: Any) -> str:
        tries.append(lab.submit(spec, **given))
        if len(tries) == 1:
            raise locked()
        return tries[-1]

    thread = lab.conduct(submit=submit)
    lab.compute_all("unlearn")
    lab.compute_all("evaluate")
    assert lab.ended(thread).state == "done"
    assert len(tries) == 4 == len(lab.store.children(lab.study))


def test_a_bug_ends_the_study_in_words_and_its_children_with_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> Any:
        raise KeyError("stage")

    monkeypatch.setattr(conducting, "_progress", broken)
    record = lab.ended(lab.conduct())
    assert record.state == "failed" and "KeyError('stage')" in record.message
    assert {child.state for child in lab.store.children(lab.study)} == {"cancelled"}
    assert any("Traceback" in line for line in lab.store.log(lab.study))


def test_a_cancel_ends_the_children_over_a_database_that_stutters(lab: Lab) -> None:
    stutters = [locked(), locked()]

    def cancel(run_id: str) -> None:
        if stutters:
            raise stutters.pop()
        lab.cancel(run_id)

    thread = lab.conduct(cancel=cancel)
    lab.wait(lambda: lab.open_children()[1:])
    lab.store.request_cancel(lab.study, run_is_computed())
    assert lab.ended(thread).state == "cancelled"
    assert {child.state for child in lab.store.children(lab.study)} == {"cancelled"}


def test_a_worker_that_stops_leaves_the_study_and_its_children_to_the_next(lab: Lab) -> None:
    lab.conduct()
    lab.wait(lambda: lab.open_children()[1:])
    lab.stopping.set()
    lab.wait(lambda: lab.store.run(lab.study).state == "interrupted")
    lab.stopping.clear()
    thread = lab.conduct()
    lab.compute_all("unlearn")
    lab.compute_all("evaluate")
    assert lab.ended(thread).state == "done"
    assert len(lab.store.children(lab.study)) == 4


def test_children_belong_to_the_study_and_its_owner_and_what_they_gave_is_kept(lab: Lab) -> None:
    lab.study = lab.submit(STUDY, owner="ann")
    thread = lab.conduct()
    lab.compute_all("unlearn")
    lab.compute_all("evaluate")
    assert lab.ended(thread).state == "done"
    children = lab.store.children(lab.study)
    assert {(child.owner, child.tags) for child in children} == {("ann", ("study",))}
    edits = [child.id for child in children if child.kind == "unlearn"]
    parents = [child.parents for child in children if child.kind == "evaluate"]
    assert sorted(parents) == sorted((lab.study, edit) for edit in edits)
    assert all(child.parents == (lab.study,) for child in children if child.kind == "unlearn")
    assert lab.store.artifacts.size(f"runs/{lab.study}/arrays.npz") > 0
    result = lab.store.result(lab.study)
    assert result is not None and result.seconds >= 0
    events = [event for _, event in lab.store.events(lab.study)]
    assert [e.state for e in events if e.type == "state" and e.state][-2:] == ["running", "done"]
    told = [e.message for e in events if e.type == "progress"]
    assert told[0] == "editing: 0 of 2 child runs ended"
    assert told[-1] == "evaluating: 2 of 2 child runs ended"
    lab.conduct().join(60)
    assert lab.store.run(lab.study).state == "done", "what has ended is not begun again"
    assert len(lab.store.children(lab.study)) == 4


def test_a_child_that_is_refused_or_fails_is_a_gap_with_its_reason(lab: Lab) -> None:
    lab.study = lab.submit(STUDY.model_copy(update={"seeds": (0, 1, 2)}))
    asked: list[Spec] = []

    def submit(spec: Spec, **given: Any) -> str:
        asked.append(spec)
        if spec.kind == "unlearn" and spec.seed == 0:
            raise UserError("Such an edit cannot be made.")
        return lab.submit(spec, **given)

    thread = lab.conduct(submit=submit)
    edit, other = lab.wait(lambda: lab.open_children()[1:] and lab.open_children())
    attempt = lab.store.begin_attempt(edit.id, "w1", "g")
    assert attempt is not None
    lab.store.finish(edit.id, attempt.number, "failed", "It went wrong.")
    lab.compute(other)
    lab.compute(lab.wait(lambda: [c for c in lab.open_children() if c.kind == "evaluate"])[0])
    record = lab.ended(thread)
    result = lab.store.result(lab.study)
    assert record.state == "done" and result is not None, record.message
    gaps = str(result.tables["failures"].rows)
    assert "Such an edit cannot be made." in gaps and "It went wrong." in gaps
    assert len(asked) == 4, "each edit once, and the one evaluation of an edit that is there"


@pytest.mark.parametrize(
    ("stage", "n_done", "n", "fraction"),
    [
        ("localizing", 0, 4, 0.0),
        ("localizing", 2, 4, 0.05),
        ("searching", 1, 3, 0.2),
        ("editing", 1, 2, 0.55),
        ("evaluating", 1, 2, 0.85),
        ("evaluating", 2, 2, 1.0),
        ("editing", 0, 0, 0.4),
    ],
)
def test_each_stage_has_its_share_of_the_whole(
    stage: str, n_done: int, n: int, fraction: float
) -> None:
    told = conducting._progress(stage, n_done, n)
    assert told.type == "progress" and told.fraction == pytest.approx(fraction)
    assert told.message == f"{stage}: {n_done} of {n} child runs ended"
