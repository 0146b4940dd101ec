"""A place for one warm compute process: it is replaced when it dies, and what waited is told."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from worker.contract.inputs import KeptElsewhere, Question
from worker.contract.menu import Announcement
from worker.contract.progress import Event
from worker.engine.child import Child
from worker.engine.wire import (
    Announced,
    Answered,
    Ask,
    Began,
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
Hear = Callable[[tuple[Event, ...]], None]
"""Is given what a question's computing tells; called on the thread that reads the process."""


@dataclass
class Job:
    """A run or a question that the process was given, and where its messages go."""

    message: Start | Ask
    replies: "SimpleQueue[Reply] | Future[Answered | Failed]"
    began: float | None = None
    """When the process began to compute it, on the monotonic clock; None while it waits there."""
    dropped: bool = False
    """Nobody waits for it any more."""
    hear: Hear = lambda events: None
    """Of a question: who hears what is told before the answer."""

    def tell(self, message: Told | Ended | Answered | Failed) -> None:
        """Hand a message to who waits."""
        if self.dropped:
            return
        if isinstance(self.replies, SimpleQueue):
            assert not isinstance(message, Answered), "a run ends with a result"
            self.replies.put(message)
        elif isinstance(message, Answered | Failed):
            self.replies.set_result(message)
        elif isinstance(message, Told):
            self.hear(message.events)

    def bury(self, died: Died) -> None:
        """Tell who waits that the process died."""
        if self.dropped:
            return
        if isinstance(self.replies, SimpleQueue):
            self.replies.put(died)
        else:
            self.replies.set_exception(died)


class Slot:
    """Holds a compute process, sends it jobs and hands each job's messages to who waits for them.

    The process does one job after another. When it dies, only the job that it computed is told:
    those that waited behind it are given to the next process. `on_announced` is called each time
    a new process has announced.
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
        self._jobs: dict[str, Job] = {}
        self._announced_at: float | None = None
        self._failed_at = float("-inf")
        self._closed = False
        self.announcement: Announcement | None = None
        self.kept = KeptElsewhere()
        """What the living process keeps of its bases, as its last run said when it ended."""
        self.n_given = 0
        """Runs and questions that it was given."""
        self.problem = ""
        """Why no process could be started; empty while all is well."""

    def computed_for(self) -> float:
        """Seconds for which the present question is computed; 0 when none is."""
        now = time.monotonic()
        with self._lock:
            begun = [job.began for job in self._jobs.values() if isinstance(job.message, Ask)]
        return max((now - began for began in begun if began is not None), default=0.0)

    def keep_warm(self) -> None:
        """Start a process if there is none; after a failed start, not at once."""
        with self._lock:
            if time.monotonic() - self._failed_at > self._respawn_seconds:
                self._living()

    def start(self, job: str, message: Start) -> SimpleQueue[Reply]:
        """Send a run; its messages come through the queue, the last one Ended, Failed or Died."""
        replies: SimpleQueue[Reply] = SimpleQueue()
        self._give(job, Job(message, replies))
        return replies

    def ask(
        self, job: str, question: Question, hear: Hear = lambda events: None
    ) -> Future[Answered | Failed]:
        """Send a question; the future gives the answer, or raises Died, and cannot be cancelled."""
        future: Future[Answered | Failed] = Future()
        future.set_running_or_notify_cancel()
        self._give(job, Job(Ask(job=job, question=question), future, hear=hear))
        return future

    def cancel(self, job: str) -> None:
        """Ask the process to stop a job at its next report."""
        with self._lock:
            if self._child is not None:
                self._child.send(Cancel(job=job))

    def drop(self, job: str) -> bool:
        """Take a job back; False when it is computed already. Nobody is told of it any more."""
        with self._lock:
            known = self._jobs.get(job)
            if known is None:
                return True
            known.dropped = True
            self.cancel(job)
            return known.began is None

    def end(self, job: str) -> None:
        """Take a job back, whatever it does: one that is computed is ended with the process."""
        if not self.drop(job):
            self.kill()

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

    def _give(self, name: str, job: Job) -> None:
        with self._lock:
            child = self._living()
            self._jobs[name] = job
            self.n_given += 1
            child.send(job.message)

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
            for waiting in self._jobs.values():
                self._child.send(waiting.message)
        return self._child

    def _hear(self, child: Child, message: FromCompute) -> None:
        if isinstance(message, Announced):
            self.announcement, self.problem = message.announcement, ""
            self._announced_at = time.monotonic()
            self._on_announced(message)
            return
        if isinstance(message, Ended):
            self.kept = message.kept
        with self._lock:
            job = self._jobs.get(message.job)
            if not isinstance(message, Told | Began):
                self._jobs.pop(message.job, None)
        if job is None:
            return
        if not isinstance(message, Began):
            job.tell(message)
        elif job.dropped and isinstance(job.message, Start):
            child.kill()  # it began in the moment in which it was dropped
        else:
            job.began = time.monotonic()

    def _bury(self, child: Child) -> None:
        died = Died(child)
        with self._lock:
            self._child, self.kept = None, KeptElsewhere()
            waiting = {n: j for n, j in self._jobs.items() if j.began is None and not j.dropped}
            told = [job for name, job in self._jobs.items() if name not in waiting]
            if self._announced_at is None:  # no next process can be counted on
                told, waiting = [*told, *waiting.values()], {}
            self._jobs = waiting
            if self._closed:
                return
            self._failed_at = float("-inf") if self._announced_at else time.monotonic()
            self.problem = " ".join([str(died), *died.tail[-1:]])
        log.warning("%s: %s", self.name, self.problem)
        for job in told:
            job.bury(died)
