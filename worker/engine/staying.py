"""How long a worker stays: until it is stopped, until nothing came for long, or until its time.

Under a cluster's scheduler a worker that idles holds a device that others wait for, and one whose
time is up is killed. So it ends by itself before, while what it holds can still be handed back.
"""

import time
from collections.abc import Callable

from worker.contract.duration import seconds_of
from worker.engine import holder

REST = 60.0
"""Seconds before its time at which a worker hands back what it holds; at most a twentieth of it."""
LAST = 600.0
"""Seconds before its time from which on it takes no new run; at most a tenth of it."""


class Stay:
    """How long one worker stays; without limits, until it is stopped."""

    def __init__(
        self,
        idle: float | None = None,
        most: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        age: float | None = None,
    ) -> None:
        """`idle`: seconds without anything to do; `most`: seconds from the process' start on.

        `age`: for how long the process lives already, also before it began anew in its place.
        """
        self._idle, self._most, self._clock = idle, most, clock
        self._busy_at = clock()
        self._began = self._busy_at - (holder.age() if age is None else age)

    @classmethod
    def given(cls, idle: str | None, most: str | None) -> "Stay":
        """How long, from a command line; raises UserError for what is no length of time."""
        return cls(
            seconds_of(idle, "--exit-when-idle") if idle else None,
            seconds_of(most, "--max-time") if most else None,
        )

    def takes_runs(self) -> bool:
        """Whether there is time for a new run."""
        return self._left() > min(LAST, (self._most or 0.0) / 10)

    def over(self, *, busy: bool, holds: bool) -> str:
        """Why the worker ends now; empty: it stays.

        `busy`: something was done since this was last asked; `holds`: a run, which it would hand
        back.
        """
        now = self._clock()
        if busy or holds:
            self._busy_at = now
        if self._left() <= min(REST, (self._most or 0.0) / 20):
            handed = " and what it holds is handed back" if holds else ""
            return f"its time of {self._most:g} s is up{handed}"
        if not self.takes_runs() and not holds:
            return f"its time of {self._most:g} s is nearly up, and it takes no new run"
        if self._idle is not None and now - self._busy_at >= self._idle:
            return f"nothing was to do for {self._idle:g} s"
        return ""

    def _left(self) -> float:
        if self._most is None:
            return float("inf")
        return self._began + self._most - self._clock()
