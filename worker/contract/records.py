"""What the tables remember of runs, masks and workers, as the pages and the API show it."""

from datetime import datetime
from typing import Any, Literal

from worker.contract.base import Contract
from worker.contract.menu import Announcement
from worker.contract.progress import RunState
from worker.contract.projects import Visibility
from worker.contract.spec import RunKind

Halted = Literal["paused", "drained"]


class RunRecord(Contract):
    """One run without its result's arrays. Times are UTC and aware."""

    id: str
    kind: RunKind
    title: str
    spec: dict[str, Any]
    state: RunState
    owner: str = ""
    project: str = ""
    """The id of the project that it is in."""
    visibility: Visibility = "server"
    attempt: int = 0
    """How many times it was started."""
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    fraction: float = 0.0
    message: str = ""
    """The last progress message, or the reason of a failure in words."""
    seconds_left: float | None = None
    ahead: int = 0
    """Queued runs that come before this one."""
    hindrance: str = ""
    """Why no worker that is alive takes it, or what its study waits for; empty when one does."""
    held: str = ""
    """Of whom, its owner or its project, as many runs are computed as may be, so that it waits
    until one of these ends; empty when it does not wait for that."""
    worker: str = ""
    moved_to: str = ""
    """The worker that takes it while that one lives and can; empty: any that can."""
    parents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    starred: bool = False
    archived: bool = False
    has_result: bool = False


class MaskRecord(Contract):
    """A named, versioned mask."""

    id: str
    name: str
    version: int
    model: str
    components: tuple[str, ...]
    n_parameters: int
    source: str = ""
    localization: str | None = None
    owner: str = ""
    project: str = ""
    """The id of the project that it is in."""
    visibility: Visibility = "server"
    created: datetime


class Halt(Contract):
    """An admin's order that a worker takes no new run; what it computes goes on."""

    what: Halted
    """`drained`: the process that has the order ends when its run is done; the next is paused."""
    by: str
    """A person's name, or words for who has none."""
    at: datetime


class WorkerRecord(Contract):
    """One supervisor: who computes, on which device, and whether its heart beats."""

    id: str
    """`host:device`, the executor id."""
    alive: bool
    ready: bool
    """Its compute process has announced what it can do."""
    heartbeat: datetime
    started: datetime
    device: str
    run: str = ""
    """The run that it computes now."""
    announcement: Announcement | None = None
    problem: str = ""
    halt: Halt | None = None
    """Why it takes no new run."""


class LaneAddress(Contract):
    """Where a live worker answers questions."""

    id: str
    """The worker's."""
    address: str
    """An http URL without a path."""
    token: str
    """What it wants to be shown."""
