"""The compute process: `python -m worker.engine.compute`, started and ended by a supervisor.

It speaks the lines of worker.engine.wire over the pipes that it was given as standard input and
output, and announces first. Two things end it when its supervisor is gone: the kernel's signal at
the parent's death (or the closed pipe), and a lease that only a supervisor whose heartbeat
reached the database renews.
"""

import argparse
import ctypes
import faulthandler
import gc
import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Hashable
from types import ModuleType
from typing import Any, BinaryIO

from worker.contract.disk import disk_trouble
from worker.contract.errors import Cancelled, Diverged, NotFound, UserError
from worker.contract.progress import Event
from worker.contract.settings import settings
from worker.engine.unneeded import without
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
    ToCompute,
    Told,
    decode_to_compute,
    encode,
)

LOOK_SECONDS = 5.0
"""An idle process looks this often whether models came, were changed or went."""
FLUSH_SECONDS = 0.1
"""Events are sent together this often, so that a fast loop does not write thousands of rows."""
PR_SET_PDEATHSIG = 1


class Pipe:
    """The supervisor's end: messages out, one whole line at a time; jobs and cancels in."""

    def __init__(self, read: BinaryIO, write: BinaryIO) -> None:
        self._read, self._write = read, write
        self._lock = threading.Lock()
        self.jobs: queue.SimpleQueue[Start | Ask] = queue.SimpleQueue()
        self.cancelled: set[str] = set()

    def send(self, message: FromCompute) -> None:
        line = encode(message)
        with self._lock:
            self._write.write(line)
            self._write.flush()

    def listen(self) -> None:
        """Read until the supervisor closes the pipe, and end the process then."""
        try:
            for line in self._read:
                self._hear(decode_to_compute(line))
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _hear(self, message: ToCompute) -> None:
        if isinstance(message, Lease):
            renew(message.until)
        elif isinstance(message, Cancel):
            self.cancelled.add(message.job)
        else:
            self.jobs.put(message)


class PipeReport:
    """A job's Report: events are gathered and sent every FLUSH_SECONDS; cancels are raised."""

    def __init__(self, pipe: Pipe, job: str) -> None:
        self._pipe, self._job = pipe, job
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._lost: Exception | None = None
        self._flusher = threading.Thread(target=self._flush_often, name="flush", daemon=True)
        self._flusher.start()

    def progress(self, fraction: float, message: str) -> None:
        fraction = min(max(float(fraction), 0.0), 1.0)
        self._tell(Event(type="progress", fraction=fraction, message=message))

    def expect(self, seconds: float) -> None:
        self._tell(Event(type="progress", fraction=0.0, message="It begins.", seconds_left=seconds))
        self._flush()

    def partial(self, name: str, data: Any) -> None:
        self._tell(Event(type="partial", name=name, data=data))

    def log(self, message: str) -> None:
        self._tell(Event(type="log", message=message))

    def close(self) -> None:
        """Send what is left; raise what kept something from being told. Nothing follows."""
        self._over.set()
        self._flusher.join()
        self._flush()
        if self._lost is not None:
            raise self._lost

    def _tell(self, event: Event) -> None:
        with self._lock:
            if event.type == "progress":
                self._events = [e for e in self._events if e.type != "progress"]
            self._events.append(event)
        if self._lost is not None:
            raise self._lost
        if self._job in self._pipe.cancelled:
            raise Cancelled("the run was cancelled")

    def _flush_often(self) -> None:
        """Flush until closed; what cannot be told ends the run at its next report, in its words."""
        while not self._over.wait(FLUSH_SECONDS):
            try:
                self._flush()
            except Exception as error:
                self._lost = error
                return

    def _flush(self) -> None:
        with self._lock:
            events, self._events = self._events, []
            if events:
                self._pipe.send(Told(job=self._job, events=tuple(events)))


def main(arguments: list[str] | None = None) -> None:
    """Announce, then do job after job until the supervisor is gone."""
    parser = argparse.ArgumentParser(prog="python -m worker.engine.compute")
    parser.add_argument("--door", default="worker.run", help="module with announce, run, answer")
    parser.add_argument("--parent", type=int, required=True, help="the supervisor's process id")
    parser.add_argument("--lease", type=float, required=True, help="seconds until the first lease")
    chosen = parser.parse_args(arguments)
    die_with(chosen.parent)
    renew(time.monotonic() + chosen.lease)
    pipe = take_pipes()
    faulthandler.enable()
    threading.Thread(target=pipe.listen, name="listen", daemon=True).start()
    with without():
        door = importlib.import_module(chosen.door)
        models = door.open_models(settings())
        known = announce(door, models, pipe)
    while True:
        job = next_job(pipe)
        if job is not None:
            work(door, models, pipe, job)
        if what_models(door, models) != known:
            known = announce(door, models, pipe)


def next_job(pipe: Pipe) -> Start | Ask | None:
    """The next job; None when none came for LOOK_SECONDS."""
    try:
        return pipe.jobs.get(timeout=LOOK_SECONDS)
    except queue.Empty:
        return None


def announce(door: ModuleType, models: Any, pipe: Pipe) -> Hashable:
    """Say what can be done and which models are loaded; return what was known of them when they
    were listed (`what_models`): listing takes a while, and what came, changed or went meanwhile is
    announced at the next look."""
    known = what_models(door, models)
    found = door.announce(settings())
    placed = getattr(models, "placements", {})
    listed = tuple(
        m.model_copy(
            update={"loaded": m.id in models.held, "placement": placed.get(m.id, m.placement)}
        )
        for m in found.models
    )
    bundled = tuple(door.bundled_fact_sets())
    said = found.model_copy(update={"models": listed})
    pipe.send(Announced(announcement=said, fact_sets=bundled))
    return known


def what_models(door: ModuleType, models: Any) -> Hashable:
    """The models that are held, and what lies in the folders where models are looked for."""
    return tuple(sorted(models.held)), door.look(settings())


def take_pipes() -> Pipe:
    """Keep standard input and output for the protocol; a library's prints go to the log."""
    read, write = os.dup(0), os.dup(1)
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.dup2(2, 1)
    os.close(silence)
    return Pipe(os.fdopen(read, "rb"), os.fdopen(write, "wb"))


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; elsewhere the closed pipe does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def renew(until: float) -> None:
    """Set the alarm that ends this process when the lease runs out; no handler, so no thread of
    Python has to run for it."""
    signal.setitimer(signal.ITIMER_REAL, max(until - time.monotonic(), 0.001))


def work(door: ModuleType, models: Any, pipe: Pipe, job: Start | Ask) -> None:
    """Do one job and say how it ended. This is the one place that catches every exception."""
    reply: Ended | Answered | Failed
    try:
        if job.job in pipe.cancelled:
            raise Cancelled("It was cancelled before it began.")
        pipe.send(Began(job=job.job))
        reply = _reply(door, models, PipeReport(pipe, job.job), job)
    except Exception as error:
        reply = _failure(job.job, error)
    if isinstance(reply, Failed) and reply.kind == "oom":
        _free_memory()
    pipe.cancelled.discard(job.job)
    pipe.send(reply)


def _reply(door: ModuleType, models: Any, report: PipeReport, job: Start | Ask) -> Ended | Answered:
    try:
        if isinstance(job, Start):
            result = door.run(job.spec, job.inputs, report, models)
            return Ended(job=job.job, result=result, kept=door.kept(models))
        answer = door.answer(job.question, models, report)
        return Answered(job=job.job, answer=answer.model_dump(mode="json"))
    finally:
        report.close()


def _failure(job: str, error: Exception) -> Failed:
    if isinstance(error, UserError):
        kind = "missing" if isinstance(error, NotFound) else "user"
        problems = tuple((field, sentence) for field, sentence in error.problems)
        return Failed(job=job, kind=kind, message=error.message, problems=problems)
    if isinstance(error, Cancelled | Diverged):
        kind = "cancelled" if isinstance(error, Cancelled) else "diverged"
        return Failed(job=job, kind=kind, message=str(error))
    lines = "".join(traceback.format_exception(error)).splitlines()
    if words := disk_trouble(error):
        return Failed(job=job, kind="disk", message=words, traceback=tuple(lines))
    message = f"{type(error).__name__}: {error}"
    kind = "oom" if _is_out_of_memory(error) else "bug"
    return Failed(job=job, kind=kind, message=message, traceback=tuple(lines))


def _is_out_of_memory(error: Exception) -> bool:
    """Tell an out-of-memory error by name and words, because torch need not be loaded here."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in words for sign in ("out of memory", "can't allocate memory", "alloc_failed")
    )


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
