"""Waiting for a database that is away, locked or full, instead of giving a run up.

There is no last time: every write of a run is guarded by its attempt number, so one that comes
late is refused where somebody else has taken the run meanwhile. A compute process whose supervisor
cannot reach the database is ended by its lease.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from worker.store.trouble import trouble

log = logging.getLogger(__name__)
T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0


class Stopped(Exception):
    """The worker stops; what it holds is another's to write."""


class Patience:
    """Does what uses the database, again and again while that is in trouble.

    `stop` waits until no step is under way and lets none begin: those who come get Stopped. A step
    may have reached the database although its answer was lost, so it must be one that may be done
    twice.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._stopping = threading.Event()
        self._steps = threading.Lock()

    def __call__(self, step: Callable[[], T]) -> T:
        """Return what `step` returns; raises Stopped, and what `step` raises but for trouble."""
        pause = FIRST_PAUSE
        while True:
            try:
                with self._steps:
                    if self._stopping.is_set():
                        raise Stopped(f"{self._who} stops")
                    return step()
            except Exception as error:
                words = trouble(error)
                if not words:
                    raise
                log.warning("%s waits: %s", self._who, words)
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def stop(self, last: Callable[[], None]) -> None:
        """Let no step begin any more, and do the last one."""
        with self._steps:
            self._stopping.set()
            last()


def keep_doing(step: Callable[[], None], seconds: float, over: Callable[[], bool]) -> None:
    """Do a step every so many seconds until `over`: for a thread that others rely on.

    Whatever the step raises is logged and it is done again, after pauses that grow: a thread that
    ends is missed by nobody until it is needed. `over` is asked before each step.
    """
    pause = seconds
    while not over():
        begun = time.monotonic()
        try:
            step()
            pause = seconds
        except Exception as error:
            name, words = threading.current_thread().name, trouble(error)
            if words:
                log.warning("%s: %s", name, words)
            else:
                log.exception("%s met a bug and goes on", name)
            pause = max(min(2 * pause, 10 * seconds, LONGEST_PAUSE), seconds)
        time.sleep(max(begun + pause - time.monotonic(), 0.0))
