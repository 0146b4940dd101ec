"""One compute process as its supervisor holds it: started, spoken to, listened to, killed."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from worker.contract.base import Contract
from worker.engine.wire import FromCompute, decode_from_compute, encode

log = logging.getLogger(__name__)
TAIL_LINES = 40
# The kernel's signal at the parent's death goes out when the starting *thread* ends, so every
# child is started by this one, which lives as long as the process.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="start-compute")


class Child:
    """A running compute process.

    `on_message` is called with each message in order, and `on_death` once after the last one;
    both on a thread of the child's own.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        on_message: Callable[["Child", FromCompute], None],
        on_death: Callable[["Child"], None],
    ) -> None:
        self._on_message, self._on_death = on_message, on_death
        self._sending = threading.Lock()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._log = _open_log(log)
        command = [
            sys.executable,
            "-m",
            "worker.engine.compute",
            "--parent",
            str(os.getpid()),
            *arguments,
        ]
        self._process = _starter.submit(_start, command).result()
        self.dead = threading.Event()
        self._reading_log = threading.Thread(target=self._read_log, name="log", daemon=True)
        self._reading_log.start()
        threading.Thread(target=self._read, name="read-compute", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Contract) -> None:
        """Send a message; to a dead child nothing is sent, and `on_death` tells of it."""
        with self._sending, suppress(BrokenPipeError, ValueError):
            _pipe(self._process.stdin).write(encode(message))
            _pipe(self._process.stdin).flush()

    def kill(self) -> None:
        """Kill the process and what it started, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> list[str]:
        """The last lines that the process and its libraries printed."""
        if self._process.poll() is not None:
            self._reading_log.join(timeout=1.0)
        return list(self._tail)

    def fate(self) -> str:
        """Say in words how the process ended."""
        code = self._process.wait()
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with code {code}"

    @property
    def signal(self) -> int:
        """The signal that ended the process; 0 when it lives or ended otherwise."""
        return max(-(self._process.poll() or 0), 0)

    def _read(self) -> None:
        """Pass messages on until the process is dead. One that cannot be passed on ends it: who
        waits for an answer then hears of a death, and not of nothing."""
        try:
            for line in _pipe(self._process.stdout):
                self._on_message(self, decode_from_compute(line))
        except Exception:
            log.exception("process %d said what cannot be passed on, and is ended", self.pid)
            self.kill()
        self._process.wait()
        try:
            self._on_death(self)
        finally:
            self.dead.set()
            with self._sending, suppress(OSError):
                _pipe(self._process.stdin).close()
            _pipe(self._process.stdout).close()

    def _read_log(self) -> None:
        """Read to the end whatever happens: a process whose full pipe nobody reads stands still."""
        for line in _pipe(self._process.stderr):
            text = line.decode("utf-8", "replace").rstrip()
            self._tail.append(text)
            with suppress(OSError, ValueError):  # a log on a full disk has gaps
                self._log.emit(logging.makeLogRecord({"msg": text}))
        _pipe(self._process.stderr).close()
        self._log.close()


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _open_log(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("no log is kept in %s: %s", path, error.strerror)
        return logging.NullHandler()
    handler = RotatingFileHandler(path, maxBytes=5_000_000, backupCount=2, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return handler


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
