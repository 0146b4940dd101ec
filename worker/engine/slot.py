"""A place for one warm compute process: it is replaced when it dies, and what waited is told."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue

from worker.contract.inputs import Question
from worker.contract.menu import Announcement
from worker.engine.child import Child
from worker.engine.wire import (
    Announced,
    Answered,
    Ask,
    Cancel,
    Ended,
    Failed,
    FromCompute,
    Lease,
    Start,
    Told,
)

log = logging.getLogger(__name__)


class Died(Exception):
    """The compute process died; the sentence says how, `tail` holds the last lines of its log."""

    def __init__(self, child: Child) -> None:
        super().__init__(f"The computing process died: {child.fate()}.")
        self.tail = child.tail()
        self.signal = child.signal


Reply = Told | Ended | Failed | Died


class Slot:
    """Holds a compute process, sends it jobs and hands each job's messages to who waits for them.

    `on_announced` is called each time a new process has announced.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log_file: Path,
        on_announced: Callable[[Announced], None],
        respawn_seconds: float,
    ) -> None:
        self.name = name
        self._arguments, self._log_file, self._on_announced = arguments, log_file, on_announced
        self._respawn_seconds = respawn_seconds
        self._lock = threading.RLock()
        self._child: Child | None = None
        self._lease = Lease(until=0.0)
        self._runs: dict[str, SimpleQueue[Reply]] = {}
        self._questions: dict[str, Future[Answered | Failed]] = {}
        self._announced_at: float | None = None
        self._failed_at = float("-inf")
        self._closed = False
        self.announcement: Announcement | None = None
        self.problem = ""
        """Why no process could be started; empty while all is well."""

    @property
    def ready_since(self) -> float | None:
        """When the present process had announced, on the monotonic clock; None before."""
        return self._announced_at

    def keep_warm(self) -> None:
        """Start a process if there is none; after a failed start, not at once."""
        with self._lock:
            if time.monotonic() - self._failed_at > self._respawn_seconds:
                self._living()

    def start(self, job: str, message: Start) -> SimpleQueue[Reply]:
        """Send a run; its messages come through the queue, the last one Ended, Failed or Died."""
        with self._lock:
            replies: SimpleQueue[Reply] = SimpleQueue()
            child = self._living()
            self._runs[job] = replies
            child.send(message)
            return replies

    def cancel(self, job: str) -> None:
        """Ask the process to stop a job at its next report."""
        with self._lock:
            if self._child is not None:
                self._child.send(Cancel(job=job))

    def ask(self, job: str, question: Question) -> Future[Answered | Failed]:
        """Send a question; the future gives the answer, or raises Died."""
        with self._lock:
            child = self._living()
            future: Future[Answered | Failed] = Future()
            self._questions[job] = future
            child.send(Ask(job=job, question=question))
            return future

    def renew(self, until: float) -> None:
        """Let the process live until this monotonic time."""
        with self._lock:
            self._lease = Lease(until=until)
            if self._child is not None:
                self._child.send(self._lease)

    def kill(self) -> None:
        """Kill the process; the next job, or `keep_warm`, starts another."""
        child = self._child  # without the lock: a send to a hung process may hold it
        if child is not None:
            child.kill()
            child.dead.wait(timeout=10.0)

    def close(self) -> None:
        """Kill the process for good."""
        self._closed = True
        self.kill()

    def _living(self) -> Child:
        if self._closed:
            raise RuntimeError("the supervisor is stopping")
        if self._child is None:
            self._announced_at = None
            self._child = Child(
                self._arguments, self._log_file, on_message=self._hear, on_death=self._bury
            )
            if self._lease.until:
                self._child.send(self._lease)
        return self._child

    def _hear(self, child: Child, message: FromCompute) -> None:
        if isinstance(message, Announced):
            self.announcement, self.problem = message.announcement, ""
            self._announced_at = time.monotonic()
            self._on_announced(message)
            return
        with self._lock:
            ends = not isinstance(message, Told)
            run = self._runs.pop(message.job, None) if ends else self._runs.get(message.job)
            future = self._questions.pop(message.job, None)
        if run is not None and not isinstance(message, Answered):
            run.put(message)
        if future is not None and isinstance(message, Answered | Failed):
            future.set_result(message)

    def _bury(self, child: Child) -> None:
        died = Died(child)
        with self._lock:
            self._child = None
            runs, self._runs = self._runs, {}
            questions, self._questions = self._questions, {}
            if self._closed:
                return
            self._failed_at = float("-inf") if self._announced_at else time.monotonic()
            self.problem = " ".join([str(died), *died.tail[-1:]])
        log.warning("%s: %s", self.name, self.problem)
        for run in runs.values():
            run.put(died)
        for future in questions.values():
            future.set_exception(died)
