"""One thing that `lethe doctor` looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Whether it is well, what was seen, and otherwise the cure."""

    ok: bool
    what: str
    cure: str = ""
