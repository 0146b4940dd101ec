"""Carries a study out on the server: its children are runs like any other, on whatever workers.

The study itself holds no device: it waits in a thread of some supervisor. It resumes after an
interruption because its children are found again by their specs, and none is submitted twice.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from worker.contract.errors import Cancelled, UserError
from worker.contract.progress import FINAL_STATES, Event
from worker.contract.records import RunRecord
from worker.contract.spec import Spec, StudySpec
from worker.engine.resolve import model_info
from worker.engine.study.outcome import Child
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.store.attempts import Attempt, Fenced
from worker.store.describe import parents_of
from worker.store.store import Store

log = logging.getLogger(__name__)
STAGES = {"localizing": 0.0, "searching": 0.1, "editing": 0.4, "evaluating": 0.7}
"""Where each stage begins, as a share of the whole: of the built-in study, measured roughly."""
LOOK_SECONDS = 0.5

Submit = Callable[..., str]
"""`Engine.submit`."""
Cancel = Callable[[str], None]
"""`Engine.cancel`."""


class Stopping(Exception):
    """The supervisor stops; the study waits to be started again."""


class Conductor:
    """Conducts one study at a time for the worker that holds it."""

    def __init__(
        self,
        store: Store,
        submit: Submit,
        cancel: Cancel,
        *,
        worker: str,
        generation: str,
        stopping: threading.Event,
    ) -> None:
        self._store, self._submit, self._cancel = store, submit, cancel
        self._worker, self._generation, self._stopping = worker, generation, stopping

    def carry_out(self, run_id: str) -> None:
        """Bring a study to its final state; raises Adopted when the worker was taken for dead.

        Does not return while the supervisor stops, so that the job stays unfinished.
        """
        attempt = self._store.begin_attempt(run_id, self._worker, self._generation)
        if attempt is None:
            return
        try:
            self._conduct(attempt)
        except Fenced as fenced:
            log.warning("%s: %s", self._worker, fenced)
        except Cancelled:
            self._end_children(run_id)
            self._store.finish(run_id, attempt.number, "cancelled", "Cancelled with its children.")
        except (UserError, ValueError) as error:
            self._store.finish(run_id, attempt.number, "failed", str(error))
        except Stopping:
            words = "The worker was stopped; the study goes on when a worker is free."
            self._store.interrupt(run_id, attempt.number, words, crashed=False)
            threading.Event().wait()

    def _conduct(self, attempt: Attempt) -> None:
        spec = attempt.spec
        assert isinstance(spec, StudySpec)
        started = time.perf_counter()
        self._store.append(attempt.run_id, attempt.number, [Event(type="state", state="running")])
        announcement = self._store.announcement()
        assert announcement is not None, "studies are taken after the first announcement"
        parameters = model_info(spec.base, announcement).component_parameters
        run_id = attempt.run_id

        def children(specs: Sequence[Spec], stage: str) -> list[Child]:
            return self._children(attempt, specs, stage)

        outcome = conduct(spec, children, parameters)
        result, arrays = reduce_study(spec, outcome, time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "arrays.npz"
            np.savez_compressed(path, allow_pickle=False, **arrays)
            self._store.artifacts.put(f"runs/{run_id}/arrays.npz", path)
        self._store.finish(run_id, attempt.number, "done", result=result)

    def _children(self, attempt: Attempt, specs: Sequence[Spec], stage: str) -> list[Child]:
        """Submit what is not there yet, and wait until all have ended."""
        owner = self._store.run(attempt.run_id).owner
        known = {_key(child.spec): child.id for child in self._store.children(attempt.run_id)}
        ids = []
        for spec in specs:
            key = _key(spec.model_dump(mode="json"))
            if key not in known:
                parents = (attempt.run_id, *parents_of(spec))
                known[key] = self._submit(spec, owner=owner, tags=("study",), parents=parents)
            ids.append(known[key])
        records = self._wait(attempt, ids, stage)
        return [self._child(records[id]) for id in ids]

    def _wait(self, attempt: Attempt, ids: Sequence[str], stage: str) -> dict[str, RunRecord]:
        wanted, told = set(ids), -1
        while True:
            if self._stopping.is_set():
                raise Stopping
            if self._store.is_cancel_requested(attempt.run_id, attempt.number):
                raise Cancelled
            records = {r.id: r for r in self._store.children(attempt.run_id) if r.id in wanted}
            n_done = sum(record.state in FINAL_STATES for record in records.values())
            if n_done != told:
                told = n_done
                self._store.append(
                    attempt.run_id, attempt.number, [_progress(stage, n_done, len(wanted))]
                )
            if n_done == len(wanted):
                return records
            self._stopping.wait(LOOK_SECONDS)

    def _child(self, record: RunRecord) -> Child:
        if record.state != "done":
            return Child(record.id, None, record.message or record.state)
        return Child(record.id, self._store.result(record.id))

    def _end_children(self, run_id: str) -> None:
        for child in self._store.children(run_id):
            if child.state not in FINAL_STATES:
                self._cancel(child.id)


def _progress(stage: str, n_done: int, n: int) -> Event:
    begins = list(STAGES.values())
    at = list(STAGES).index(stage)
    width = (begins[at + 1] if at + 1 < len(begins) else 1.0) - begins[at]
    return Event(
        type="progress",
        fraction=begins[at] + width * n_done / max(1, n),
        message=f"{stage}: {n_done} of {n} child runs ended",
    )


def _key(spec: dict[str, object]) -> str:
    return str(sorted(spec.items(), key=lambda item: item[0]))
