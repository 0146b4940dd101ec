"""The loop of every training here: rows in turn, a clipped gradient, a step of an optimizer.

What differs is given: where the gradient comes from, and who hears how each step went.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

Losses = dict[str, float]
"""Part of a loss -> its value at a step."""


@dataclass
class Draw:
    """Places of rows, drawn without end: every row comes once before any comes twice."""

    n_rows: int
    size: int
    """Rows that are drawn at once, at most."""
    _order: list[int] = field(default_factory=list)

    def take(self, generator: torch.Generator) -> list[int]:
        """Take the next rows' places; all of them, in a new order, where no more are there."""
        n = min(self.size, self.n_rows)
        while len(self._order) < n:
            self._order += torch.randperm(self.n_rows, generator=generator).tolist()
        drawn, self._order = self._order[:n], self._order[n:]
        return drawn


@dataclass(frozen=True)
class Step:
    """How one step went; one that is not finite was not taken."""

    number: int
    """The first is 1."""
    losses: Losses
    norm: float
    """Of the gradient, before it was clipped."""

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.norm) and all(map(math.isfinite, self.losses.values()))


class Loop:
    """An optimizer over some parameters, with clipping and a rate that falls to 0 by a cosine."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        steps: int,
        clip: float,
        cosine: bool = True,
        written: Callable[[], None] = lambda: None,
    ) -> None:
        """Clip to the norm `clip`; `written` is called after the optimizer has changed values."""
        self.parameters, self.optimizer, self.steps = parameters, optimizer, steps
        self.clip, self.written, self.at = clip, written, 0
        schedules = torch.optim.lr_scheduler
        self.schedule = schedules.CosineAnnealingLR(optimizer, steps) if cosine else None

    def run(self, pull: Callable[[], Losses], tell: Callable[[Step], bool | None]) -> None:
        """Go on until all steps are done or `tell` says True; `pull` adds up a step's gradient.

        `self.at` is the step that is being made.
        """
        for number in range(1, self.steps + 1):
            self.at = number
            if tell(self._step(pull)):
                break

    def _step(self, pull: Callable[[], Losses]) -> Step:
        for parameter in self.parameters:
            parameter.grad = None
        with torch.enable_grad():
            losses = pull()
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.clip))
        made = Step(self.at, losses, norm)
        if made.is_finite:
            self.optimizer.step()
            # A fused kernel writes without counting, and checksums are taken anew by the count.
            increment_version(self.parameters)
            if self.schedule:
                self.schedule.step()
            self.written()
        return made
