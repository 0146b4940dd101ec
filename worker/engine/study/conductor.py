"""Carries a study out on the server: its children are runs like any other, on whatever workers.

The study itself holds no device: it waits in a thread of some supervisor. It resumes after an
interruption because its children are found again by their specs, and none is submitted twice. A
child that was deleted counts as one that gave no result. However the study ends, none of its
children goes on for nobody.
"""

import logging
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from worker.contract.disk import disk_trouble
from worker.contract.errors import Cancelled, UserError
from worker.contract.progress import FINAL_STATES, Event, RunState
from worker.contract.records import RunRecord
from worker.contract.spec import Spec, StudySpec
from worker.engine.patience import Patience, Stopped
from worker.engine.resolve import model_info
from worker.engine.study.outcome import Child
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.store.attempts import Adopted, Attempt, Fenced
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
        self._patiently = Patience(f"a study on worker {worker}")

    def carry_out(self, run_id: str) -> None:
        """Bring a study to its final state; raises Adopted when the worker was taken for dead.

        Does not return while the supervisor stops, so that the job stays unfinished.
        """
        attempt = self._patiently(
            lambda: self._store.begin_attempt(run_id, self._worker, self._generation)
        )
        if attempt is None:
            return
        try:
            self._conduct_in_words(attempt)
        except Fenced as fenced:
            log.warning("%s: %s", self._worker, fenced)
        except Stopped:
            try:
                self._patiently.stop(lambda: self._let_go(attempt))
            except Exception:
                log.exception("%s: study %s", self._worker, run_id)
            threading.Event().wait()

    def _conduct_in_words(self, attempt: Attempt) -> None:
        """Conduct a study; whatever goes wrong is its end in words, and its children's too."""
        try:
            self._conduct(attempt)
        except (Adopted, Fenced, Stopped):
            raise
        except Cancelled:
            self._end(attempt, "cancelled", "Cancelled with its children.")
        except (UserError, ValueError) as error:
            self._end(attempt, "failed", str(error))
        except Exception as error:
            log.exception("%s: study %s", self._worker, attempt.run_id)
            words = disk_trouble(error)
            words = words or f"This is a bug in Lethe: {error!r} (run {attempt.run_id})"
            lines = "".join(traceback.format_exception(error)).splitlines()
            self._end(attempt, "failed", words, [Event(type="log", message=x) for x in lines])

    def _let_go(self, attempt: Attempt) -> None:
        words = "The worker was stopped; the study goes on when a worker is free."
        self._store.interrupt(attempt.run_id, attempt.number, words, crashed=False)

    def _end(
        self, attempt: Attempt, state: RunState, message: str, before: Sequence[Event] = ()
    ) -> None:
        """End the study, its children first; raises Fenced when it is another's by now."""
        self._patiently(lambda: self._store.is_cancel_requested(attempt.run_id, attempt.number))
        for child in self._patiently(lambda: self._store.children(attempt.run_id)):
            if child.state not in FINAL_STATES:
                self._patiently(partial(self._cancel, child.id))
        self._patiently(
            lambda: self._store.finish(
                attempt.run_id, attempt.number, state, message, before=before
            )
        )

    def _conduct(self, attempt: Attempt) -> None:
        spec = attempt.spec
        assert isinstance(spec, StudySpec)
        started = time.perf_counter()
        self._tell(attempt, Event(type="state", state="running"))
        announcement = self._patiently(self._store.announcement)
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
            size = path.stat().st_size
        self._patiently(
            lambda: self._store.finish(run_id, attempt.number, "done", result=result, size=size)
        )

    def _children(self, attempt: Attempt, specs: Sequence[Spec], stage: str) -> list[Child]:
        """Submit what is not there yet, and wait until all have ended."""
        known = self._patiently(lambda: self._known(attempt))
        owner = self._patiently(lambda: self._store.run(attempt.run_id)).owner
        refused: dict[str, Child] = {}
        keys = [_key(spec.model_dump(mode="json")) for spec in specs]
        for key, spec in zip(keys, specs, strict=True):
            if key not in known and key not in refused:
                try:
                    known[key] = self._submit_once(attempt, spec, key, owner)
                except UserError as error:
                    refused[key] = Child("", None, error.message)
        records = self._wait(attempt, [known[key] for key in keys if key in known], stage)
        return [
            refused[key] if key in refused else self._child(known[key], records.get(known[key]))
            for key in keys
        ]

    def _known(self, attempt: Attempt) -> dict[str, str]:
        """The children's specs -> their ids."""
        return {_key(child.spec): child.id for child in self._store.children(attempt.run_id)}

    def _submit_once(self, attempt: Attempt, spec: Spec, key: str, owner: str) -> str:
        """Submit a child, once: a try whose answer was lost may have reached the database."""
        parents = (attempt.run_id, *parents_of(spec))
        is_tried = False

        def submit() -> str:
            nonlocal is_tried
            if is_tried and (known := self._known(attempt).get(key)):
                return known
            is_tried = True
            return self._submit(
                spec, owner=owner, tags=("study",), parents=parents, session=attempt.session
            )

        return self._patiently(submit)

    def _wait(self, attempt: Attempt, ids: Sequence[str], stage: str) -> dict[str, RunRecord]:
        """Wait until all have ended; what is missing of them then was deleted."""
        wanted, told = set(ids), -1
        while True:
            if self._stopping.is_set():
                raise Stopped
            if self._patiently(
                lambda: self._store.is_cancel_requested(attempt.run_id, attempt.number)
            ):
                raise Cancelled
            children = self._patiently(lambda: self._store.children(attempt.run_id))
            records = {record.id: record for record in children if record.id in wanted}
            n_open = sum(record.state not in FINAL_STATES for record in records.values())
            if len(wanted) - n_open != told:
                told = len(wanted) - n_open
                self._tell(attempt, _progress(stage, told, len(wanted)))
            if not n_open:
                return records
            self._stopping.wait(LOOK_SECONDS)

    def _tell(self, attempt: Attempt, event: Event) -> None:
        self._patiently(lambda: self._store.append(attempt.run_id, attempt.number, [event]))

    def _child(self, id: str, record: RunRecord | None) -> Child:
        if record is None:
            return Child(id, None, "The run was deleted.")
        if record.state != "done":
            return Child(id, None, record.message or record.state)
        return Child(id, self._patiently(lambda: self._store.result(id)))


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
