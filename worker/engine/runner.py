"""Carries a run out: from its attempt number to its final state.

1. Take the run and its next attempt number; every later write is guarded by it.
2. Resolve the spec's names to what they stand for.
3. Send it to the compute process; write what comes back as events; look for a cancel.
4. After an out-of-memory error halve the batch and begin again; after a crash begin again in a
   new process, at most MAX_CRASHES times.
5. Store the files, then the result and the final state in one transaction.
"""

import logging
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from worker.contract.disk import disk_trouble
from worker.contract.errors import UserError
from worker.contract.progress import Event, RunState
from worker.contract.result import Result
from worker.engine.patience import Patience, Stopped
from worker.engine.resolve import paces_of, resolve
from worker.engine.slot import Died, Reply, Slot
from worker.engine.timing import Timing
from worker.engine.wire import Ended, Failed, Start, Told
from worker.store.attempts import Adopted, Attempt, Fenced
from worker.store.store import Store

log = logging.getLogger(__name__)
SMALLEST_BATCH = 1 / 256
LITTLE = 0.02
"""Share of a run from whose time nothing is concluded."""
TRUSTED = 0.15
"""Share of a run after which its own pace counts as much as what it was told to take."""


class Runner:
    """Carries out one run at a time for the worker `worker`, whose row `generation` holds."""

    def __init__(
        self,
        store: Store,
        slot: Slot,
        *,
        worker: str,
        generation: str,
        folder: Path,
        timing: Timing,
        on_adopted: Callable[[], None],
    ) -> None:
        self._store, self._slot, self._timing = store, slot, timing
        self._worker, self._generation, self._folder = worker, generation, folder
        self._on_adopted = on_adopted
        self._attempt: Attempt | None = None
        self._patiently = Patience(f"worker {worker}")
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def run_id(self) -> str:
        """The run that is computed now; empty when there is none."""
        attempt = self._attempt
        return "" if attempt is None else attempt.run_id

    def carry_out(self, run_id: str) -> None:
        """Bring a run to its final state.

        Does not return when the worker was adopted or is stopping: the job must stay unfinished
        for whoever takes the run next.
        """
        try:
            self._try_until_over(run_id)
        except Adopted:
            self._on_adopted()
            raise
        except Stopped:
            threading.Event().wait()

    def stop(self) -> None:
        """Let go of the run in good order: it waits to be started again, by whoever is free."""
        self._patiently.stop(self._let_go)

    def _let_go(self) -> None:
        attempt = self._attempt
        if attempt is not None:
            words = "The worker was stopped; the run starts again when a worker is free."
            with suppress(Fenced):
                self._store.interrupt(attempt.run_id, attempt.number, words, crashed=False)

    def _try_until_over(self, run_id: str) -> None:
        while attempt := self._begin(run_id):
            self._attempt = attempt
            try:
                if self._try_in_words(attempt):
                    return
            except Fenced as fenced:
                log.warning("%s: %s", self._worker, fenced)
                self._slot.kill()
                return
            finally:
                self._attempt = None
                shutil.rmtree(self._place(attempt), ignore_errors=True)

    def _begin(self, run_id: str) -> Attempt | None:
        return self._patiently(
            lambda: self._store.begin_attempt(run_id, self._worker, self._generation)
        )

    def _try_in_words(self, attempt: Attempt) -> bool:
        """Make one attempt; what nobody expected ends the run in words, and not in silence."""
        try:
            return self._try(attempt)
        except (Adopted, Fenced, Stopped):
            raise
        except Exception as error:
            log.exception("%s: run %s", self._worker, attempt.run_id)
            self._slot.end(f"{attempt.run_id}.{attempt.number}")
            if words := disk_trouble(error):
                self._end(attempt, "failed", words)
            else:
                words = f"This is a bug in Lethe: {error!r} (run {attempt.run_id})"
                lines = "".join(traceback.format_exception(error)).splitlines()
                self._end(attempt, "failed", words, lines)
            return True

    def _try(self, attempt: Attempt) -> bool:
        """Make one attempt; False when the run is to be begun again."""
        try:
            start = self._prepare(attempt)
        except UserError as error:
            self._end(attempt, "failed", error.message)
            return True
        replies = self._slot.start(start.job, start)
        reply = self._listen(attempt, start.job, replies)
        if isinstance(reply, Ended):
            self._keep(attempt, reply.result)
            return True
        if isinstance(reply, Died):
            return not self._interrupt(attempt, reply)
        return self._give_up(attempt, reply)

    def _prepare(self, attempt: Attempt) -> Start:
        announcement = self._slot.announcement
        assert announcement is not None, "runs are taken after the first announcement"
        out = self._out(attempt)
        out.mkdir(parents=True)
        hold = self._place(attempt) / "inputs"
        inputs = resolve(attempt.spec, self._store, announcement, str(out), hold)
        paces = paces_of(attempt.spec, self._store, announcement)
        inputs = inputs.model_copy(update={"batch_scale": attempt.batch_scale, "paces": paces})
        return Start(job=f"{attempt.run_id}.{attempt.number}", spec=attempt.spec, inputs=inputs)

    def _place(self, attempt: Attempt) -> Path:
        return self._folder / f"{attempt.run_id}.{attempt.number}"

    def _out(self, attempt: Attempt) -> Path:
        return self._place(attempt) / "out"

    def _listen(
        self, attempt: Attempt, job: str, replies: SimpleQueue[Reply]
    ) -> Ended | Failed | Died:
        """Write events until the job ends; ask it to stop when the user cancels, then kill it."""
        telling = Telling()
        kill_at: float | None = None
        look_at = 0.0
        while True:
            now = time.monotonic()
            if now >= look_at:
                look_at = now + self._timing.poll
                asked = self._is_cancelled(attempt)
                if asked and kill_at is None:
                    kill_at = now + self._timing.grace
                    self._slot.cancel(job)
            if kill_at is not None and now >= kill_at:
                self._slot.end(job)
                words = "Cancelled; it made no report and was ended."
                return Failed(job=job, kind="cancelled", message=words)
            try:
                reply = replies.get(timeout=self._timing.poll)
            except Empty:
                continue
            if not isinstance(reply, Told):
                return reply
            self._write_events(attempt, telling.complete(reply.events))

    def _write_events(self, attempt: Attempt, events: Sequence[Event]) -> None:
        self._patiently(lambda: self._store.append(attempt.run_id, attempt.number, events))

    def _is_cancelled(self, attempt: Attempt) -> bool:
        return self._patiently(
            lambda: self._store.is_cancel_requested(attempt.run_id, attempt.number)
        )

    def _keep(self, attempt: Attempt, result: Result) -> None:
        # Looked at once more: files are not fenced by the database as rows are.
        self._is_cancelled(attempt)
        out, size = self._out(attempt), 0
        for path in sorted(p for p in out.rglob("*") if p.is_file()):
            size += path.stat().st_size
            name = path.relative_to(out).as_posix()
            self._store.artifacts.put(f"runs/{attempt.run_id}/{name}", path)
        self._patiently(
            lambda: self._store.finish(
                attempt.run_id, attempt.number, "done", result=result, size=size
            )
        )

    def _interrupt(self, attempt: Attempt, died: Died) -> bool:
        """Say that the process died; False when that was once too often."""
        lease_ran_out = died.signal == signal.SIGALRM
        if died.signal == signal.SIGKILL and attempt.batch_scale > SMALLEST_BATCH:
            # Nobody here sent it: most likely the kernel, short of memory.
            self._halve(attempt)
        words = "The database could not be reached for too long." if lease_ran_out else str(died)
        return self._patiently(
            lambda: self._store.interrupt(
                attempt.run_id,
                attempt.number,
                words,
                crashed=not lease_ran_out,
                log=_lines(died.tail),
            )
        )

    def _halve(self, attempt: Attempt) -> None:
        scale = attempt.batch_scale / 2
        self._patiently(lambda: self._store.scale_batch(attempt.run_id, attempt.number, scale))

    def _give_up(self, attempt: Attempt, failed: Failed) -> bool:
        """End a run that raised; False when it is tried again with a smaller batch."""
        if failed.kind == "oom" and attempt.batch_scale > SMALLEST_BATCH:
            words = "The device ran out of memory; the run begins again with half the batch."
            self._halve(attempt)
            self._patiently(
                lambda: self._store.interrupt(attempt.run_id, attempt.number, words, crashed=False)
            )
            return False
        if failed.kind == "cancelled":
            self._end(attempt, "cancelled", failed.message.capitalize().rstrip(".") + ".")
        elif failed.kind == "bug":
            words = (
                f"This is a bug in Lethe or in a method: {failed.message} (run {attempt.run_id})"
            )
            self._end(attempt, "failed", words, failed.traceback)
        elif failed.kind == "disk":
            self._end(attempt, "failed", failed.message, failed.traceback)
        elif failed.kind == "oom":
            words = (
                f"The device has too little memory even for the smallest batch: {failed.message}"
            )
            self._end(attempt, "failed", words, failed.traceback)
        else:
            self._end(attempt, "failed", failed.message)
        return True

    def _end(
        self, attempt: Attempt, state: RunState, message: str, lines: Sequence[str] = ()
    ) -> None:
        self._patiently(
            lambda: self._store.finish(
                attempt.run_id, attempt.number, state, message, before=_lines(lines)
            )
        )


class Telling:
    """Adds to a run's events what only the supervisor knows: that it is running, and time left.

    What is done never becomes less. The time left is at first what the run was told to take; its
    own pace counts the more, the more of it is done.
    """

    def __init__(self) -> None:
        self._running_since: float | None = None
        self._fraction_then = self._done = 0.0
        self._told: float | None = None

    def complete(self, events: Sequence[Event]) -> list[Event]:
        """The run is running from its first partial, or its first fraction above 0, on."""
        completed: list[Event] = []
        for event in events:
            fraction = self._done = max(self._done, event.fraction or 0.0)
            if event.seconds_left is not None:
                self._told = event.seconds_left
            if self._running_since is None and (event.type == "partial" or fraction):
                self._running_since, self._fraction_then = time.monotonic(), fraction
                completed.append(Event(type="state", state="running"))
            if event.type == "progress":
                told = {"fraction": fraction, "seconds_left": self._left(fraction)}
                event = event.model_copy(update=told)
            completed.append(event)
        return completed

    def _left(self, fraction: float) -> float | None:
        """Estimate the seconds that are left from what was told and the pace until now."""
        told, moved = self._told, fraction - self._fraction_then
        if self._running_since is None or moved < LITTLE:
            return None if told is None else round(told * (1.0 - fraction), 1)
        pace = (time.monotonic() - self._running_since) / moved
        trust = 1.0 if told is None else moved / (moved + TRUSTED)
        return round((trust * pace + (1.0 - trust) * (told or 0.0)) * (1.0 - fraction), 1)


def _lines(lines: Sequence[str]) -> list[Event]:
    return [Event(type="log", message=line) for line in lines]
