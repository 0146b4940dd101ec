"""Keeps the processes of one machine's Lethe alive: one that ended is started again.

1. A process that ends is said in the log, with how it ended, and started again after a pause that
   doubles each time; the other processes stay up meanwhile.
2. One that had lived for a while before begins with the shortest pause.
3. One that ends too often in a row, or that says by its exit code that its settings are wrong, is
   given up: the others are stopped, and the caller exits with a code above 0, so that whatever
   started it (compose, systemd) knows.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from worker.contract.logs import set_up
from worker.contract.settings import WRONG_SETTINGS, settings

log = logging.getLogger("lethe.serve")
LOOK_SECONDS = 0.2
STOP_SECONDS = 30.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Pauses:
    """How long to wait before a process is started again, in seconds, and how often."""

    first: float = 1.0
    longest: float = 60.0
    healthy: float = 60.0
    """Having lived so long, a process begins with the first pause again."""
    tries: int = 10
    """Ends in a row, none after a healthy life, after which a process is given up."""

    def before(self, n_ends: int) -> float:
        """The pause after the n-th end in a row."""
        return min(self.first * 2.0 ** (n_ends - 1), self.longest)


class GivenUp(Exception):
    """A process cannot be kept alive; `code` is what the caller exits with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Kept:
    """One process that is started again when it ends."""

    def __init__(self, name: str, command: Sequence[str], pauses: Pauses) -> None:
        self.name = name
        self._command, self._pauses = list(command), pauses
        self._process: subprocess.Popen[bytes] | None = None
        self._started, self._due = 0.0, 0.0
        self._n_ends = 0

    def look_after(self) -> None:
        """Start the process when its time has come; raises GivenUp."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due:
                self._process, self._started = _start(self._command), now
            return
        code = self._process.poll()
        if code is not None:
            self._bury(self._process.pid, code, now)

    def stop(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until the process has ended; kill it when it takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            log.error("%s did not stop in time and is killed", self.name)
            self._process.kill()
            self._process.wait()

    def _bury(self, pid: int, code: int, now: float) -> None:
        self._process = None
        ended = f"{self.name} (process {pid}) {_fate(code)}"
        if code == WRONG_SETTINGS:
            raise GivenUp(f"{ended}; another start would not help", code)
        if now - self._started >= self._pauses.healthy:
            self._n_ends = 0
        self._n_ends += 1
        if self._n_ends >= self._pauses.tries:
            raise GivenUp(f"{ended}, {self._n_ends} times in a row; it is given up", max(code, 1))
        pause = self._pauses.before(self._n_ends)
        self._due = now + pause
        log.error("%s; it is started again in %g s", ended, pause)


def keep(kept: Sequence[Kept], stop: threading.Event) -> int:
    """Keep processes alive until `stop` is set; return the exit code, 0 when that was asked."""
    code = 0
    try:
        while not stop.wait(LOOK_SECONDS):
            for one in kept:
                one.look_after()
    except GivenUp as given_up:
        log.error("%s", given_up)
        code = given_up.code
    for one in kept:
        one.stop()
    deadline = time.monotonic() + STOP_SECONDS
    for one in kept:
        one.wait(deadline - time.monotonic())
    return code


def serve(pauses: Pauses | None = None) -> int:
    """Keep the web server and one worker alive until SIGTERM or SIGINT; return the exit code."""
    set_up(settings().log, logging.INFO, "%(asctime)s %(message)s")
    pauses, stop = pauses or Pauses(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: stop.set())
    modules = {"The web server": "app", "The worker": "worker.engine.supervisor"}
    kept = [Kept(name, [sys.executable, "-m", m], pauses) for name, m in modules.items()]
    return keep(kept, stop)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def end_with_parent() -> None:
        # Killed, this process can stop nobody: the kernel asks its children to end instead.
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen(command, preexec_fn=end_with_parent)


def _fate(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with code {code}"
