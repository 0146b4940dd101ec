"""What a method gives back to `run`: arrays in memory, small numbers, words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from worker.contract.facts import Fact
from worker.contract.inputs import Inputs, StackedEdit
from worker.contract.mask import Mask
from worker.contract.pace import Pace
from worker.contract.progress import Report
from worker.contract.result import Attribution, Axis, Evaluation, LeftOut, Receipt, Table
from worker.contract.units import unit_problem


@dataclass(frozen=True)
class Array:
    """An array with its axes, unit and title; see contract.result.ArrayInfo."""

    values: np.ndarray
    axes: tuple[Axis, ...]
    unit: str
    title: str = ""
    signed: bool = False
    gaps: str = ""
    """What NaN stands for in words; empty where every value was computed."""

    def __post_init__(self) -> None:
        """Raise ValueError where the unit does not say what the numbers are."""
        if problem := unit_problem(self.unit, self.signed):
            raise ValueError(f"The array {self.title!r} {problem}.")


Summary = dict[str, float | int | bool | str | None]
"""Number's or word's dotted name -> what a result says of it."""


@dataclass
class Findings:
    """A method's result. `run` turns it into a Result and writes its arrays and delta."""

    arrays: dict[str, Array] = field(default_factory=dict)
    summary: Summary = field(default_factory=dict)
    caption: str = ""
    left_out: list[LeftOut] = field(default_factory=list)
    attribution: Attribution | None = None
    receipt: Receipt | None = None
    evaluation: Evaluation | None = None
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    """Filled by `run`, which gathers several evaluations into one result."""
    tables: dict[str, Table] = field(default_factory=dict)
    mask: Mask | None = None
    """The mask that the method really used, where it differs from the one it was given."""
    delta: dict[str, Tensor] | None = None
    """Parameter name -> its values after the edit; only tensors that changed."""
    files: dict[str, str] = field(default_factory=dict)
    """Other files that were written beside the result, by what they are."""
    view: dict[str, Any] = field(default_factory=dict)
    forget: tuple[str, ...] | None = None
    """Filled by `run`: the forget facts' ids, where the model's knowledge chose among them."""
    paces: tuple[Pace, ...] = ()
    """Filled by `run`: how long its parts were told to take, and took."""
    shot: bool = False
    """Filled by `run`: whether every prompt stood after another fact of its relation."""


@dataclass(frozen=True)
class Job:
    """What every method is given besides its model, facts and options."""

    seed: int
    report: Report
    pool: tuple[Fact, ...] = ()
    """Every fact of the set: what probes are trained on and other subjects are drawn from."""
    mask: Mask | None = None
    """The mask that an evaluation's spec names."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Component scores of the localization that this mask was made from, where it was."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Stored text's name -> its local path."""
    edited: tuple[tuple[Fact, ...], ...] = ()
    """Facts that each edit below changed, in the stack's order."""
    stacked: Mapping[str, StackedEdit] = field(default_factory=dict)
    """Edit that the options name -> its deltas and its facts."""


def job_of(seed: int, inputs: Inputs, report: Report) -> Job:
    """Gather what a run's inputs give to its methods."""
    return Job(
        seed=seed,
        report=report,
        pool=inputs.fact_set.facts if inputs.fact_set else (),
        mask=inputs.mask,
        scores=inputs.scores,
        texts=inputs.texts,
        edited=inputs.edited,
        stacked=inputs.stacked,
    )
