"""How often the engine looks, and how long it waits, in seconds."""

from typing import Self

from pydantic import Field, model_validator

from worker.contract.base import Contract


class Timing(Contract):
    """The times of one supervisor. Those of all supervisors on one database should be equal."""

    poll: float = Field(0.25, gt=0, description="Between two looks for a queued run or a cancel.")
    beat: float = Field(3.0, gt=0, description="Between two heartbeats.")
    lease: float = Field(
        30.0, gt=0, description="A compute process lives this long after the last heartbeat."
    )
    stale: float = Field(
        45.0, gt=0, description="A worker is taken for dead after this much silence."
    )
    grace: float = Field(
        10.0, gt=0, description="From a cancel to the killing of a run that makes no report."
    )
    reap: float = Field(5.0, gt=0, description="Between two looks for dead workers.")
    respawn: float = Field(
        5.0, gt=0, description="Before a compute process that could not start is started again."
    )
    keep_jobs: float = Field(
        7 * 86400.0,
        gt=0,
        description="Jobs are deleted this long after they ended; their runs stay.",
    )
    question: float = Field(
        120.0, gt=0, description="A quick question that computes longer ends its process."
    )

    @model_validator(mode="after")
    def _dead_before_adopted(self) -> Self:
        if not self.beat * 2 <= self.lease < self.stale:
            raise ValueError(
                f"beat {self.beat}, lease {self.lease}, stale {self.stale}: expected 2 beat <= "
                f"lease < stale, so that a silent worker's run has ended before another begins it"
            )
        return self
