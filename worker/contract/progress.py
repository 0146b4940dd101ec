"""What a running job says while it computes. Each is stored as one durable event."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

from worker.contract.base import Contract

RunState = Literal["queued", "loading", "running", "done", "failed", "cancelled", "interrupted"]
FINAL_STATES: frozenset[str] = frozenset({"done", "failed", "cancelled"})
"""`interrupted` means that the run waits to be started again."""


class Event(Contract):
    """One thing that happened to a run, in the order in which it happened.

    `state`: the run's state changed (`state`, `message`). `progress`: `fraction` of the work is
    done, `seconds_left` is an estimate. `partial`: a piece of the result, `name` and `data` as the
    figure of that name takes them. `log`: a line for the run's log.
    """

    type: Literal["state", "progress", "partial", "log"]
    state: RunState | None = None
    message: str = ""
    fraction: float | None = None
    seconds_left: float | None = None
    name: str = ""
    data: Any = None


class Report(Protocol):
    """How compute tells what it does. Every call may raise Cancelled."""

    def progress(self, fraction: float, message: str) -> None:
        """Say that `fraction` (0–1) of the run is done and what is being done now."""

    def expect(self, seconds: float) -> None:
        """Say how long the run is likely to take from here on."""

    def partial(self, name: str, data: Any) -> None:
        """Give a piece of the result as JSON data: a heatmap's row, a curve's point."""

    def log(self, message: str) -> None:
        """Write a line into the run's log."""


class Within:
    """A Report for a part of a run: its progress goes into `share` of the run's, from and to."""

    def __init__(self, report: Report, share: tuple[float, float], words: str) -> None:
        self._report, self._share, self._words = report, share, words

    def progress(self, fraction: float, message: str) -> None:
        start, end = self._share
        done = start + (end - start) * min(max(fraction, 0.0), 1.0)
        self._report.progress(done, f"{self._words}: {message}")

    def expect(self, seconds: float) -> None:
        """Leave it out: the run's time was said before."""

    def partial(self, name: str, data: Any) -> None:
        """Leave pieces of a part's own result out: the run shows another."""

    def log(self, message: str) -> None:
        self._report.log(f"{self._words}: {message}")


class Quiet:
    """A Report that says nothing, or hands each event to one function."""

    def __init__(self, tell: Callable[[Event], None] | None = None) -> None:
        self._tell = tell or (lambda event: None)

    def progress(self, fraction: float, message: str) -> None:
        self._tell(Event(type="progress", fraction=min(max(fraction, 0.0), 1.0), message=message))

    def expect(self, seconds: float) -> None:
        self._tell(Event(type="progress", fraction=0.0, message="begins", seconds_left=seconds))

    def partial(self, name: str, data: Any) -> None:
        self._tell(Event(type="partial", name=name, data=data))

    def log(self, message: str) -> None:
        self._tell(Event(type="log", message=message))
