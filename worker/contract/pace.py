"""How long parts of a run were told to take, and how long they took."""

from pydantic import Field

from worker.contract.base import Contract
from worker.contract.menu import MethodKind


class Pace(Contract):
    """One method's or evaluation's part of a run."""

    work: str
    """Kind and name, as `localization causal_tracing`."""
    device: str
    """The device's name, as a worker announces it."""
    told: float = Field(gt=0)
    """Seconds by formula and measured rate, without any correction."""
    seen: float = Field(gt=0)


def work_name(kind: MethodKind, name: str) -> str:
    """Name a method's work, as paces are remembered by."""
    return f"{kind} {name}"


ASKING = "asking knowledge"
"""Name of the work of asking a model, before a run, which facts it knows."""
