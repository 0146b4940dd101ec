"""How good a tried edit is: a score that goes on telling trials apart where probabilities are at 1.

score = goal − RETAIN · retain − TEXT · text, where
1. goal is the mean log probability of what is wanted: of the edit target, or of not saying the
   target, log(1 − p);
2. retain is by how many nats the watched retain facts' targets fell, those that rose counting as 0;
3. text is KL(before ‖ now) on ordinary passages, in nats per token: what the edit did to language,
   whether the passages became likelier or not.

The weights are a judgement: a tenth lost of the retain facts, or a divergence of .03, costs about
as much as an edit target at .75 instead of 1. One search on SmolLM2-135M (edit, MLPs 2 to 8, 20
steps) says what they are for: rates of 1.4e-4, 4.4e-4 and 1.4e-3 all reach the goal, at .98 to
1.00, and goal × retain probability hardly tells them apart. The lowest loses more of some retain
facts (.16 nats on average), the highest diverges (.047 nats beside .001 and .008), and scores of
−.51, −.10 and −.48 choose the middle one. On 16 other facts it then reached .98, left .99 of the
untrained retain facts' probability, and perplexity went from 36.3 to 36.4. Other methods' scores
were not looked at in this way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.core.asking.ordinary_text import read_lines
from worker.core.editing.check import Objective
from worker.core.models.model import Model
from worker.core.training.material import Material
from worker.core.training.pool import Pool
from worker.core.training.terms import reference_log_probs

RETAIN, TEXT = 3.0, 10.0
LOWEST, MOST_FALLEN = -10.0, 5.0
"""Nats at which a single fact's goal and fall are cut off."""
CONTEXT = 32
"""Tokens of a passage that are read."""
SLACK = 0.8
GOAL, KEPT, DIVERGED = 0.8, 0.95, 0.03
"""Goal, retain share and divergence from which on an edit is as it was meant."""


@dataclass(frozen=True)
class Judged:
    """What a tried edit did to facts and text that it was not trained on, goal facts aside."""

    goal: float
    """Mean probability of what is wanted."""
    retain: float
    """Share of the watched facts' mean probability that is left; 1 without any."""
    divergence: float
    """KL(before ‖ now) on ordinary text, in nats per token."""
    score: float

    @property
    def fits(self) -> bool:
        """Whether nothing need be searched for any more."""
        return self.goal >= GOAL and self.retain >= KEPT and self.divergence <= DIVERGED


def least_retained(best: float) -> float:
    """Give the share of the watched facts below which a trial can no longer reach the score `best`.

    The rest of a training may bring some of it back (SLACK).
    """
    return SLACK * math.exp(best / RETAIN)


class Judge:
    """Holds what the model said before, and measures what it says now."""

    def __init__(
        self, model: Model, material: Material, objective: Objective, passages: list[str]
    ) -> None:
        self._model, self._material, self._objective = model, material, objective
        self._passages = passages
        self._text: list[Tensor] = []
        read_lines(model, passages, CONTEXT, self._text)
        self._watched = self._said(material.watched)

    def measure(self) -> Judged:
        """Judge the model as it is now."""
        material = self._material
        editing = self._objective == "edit"
        said = self._said(material.edit if editing else material.forget)
        p = said.exp() if editing else 1 - said.exp()
        goal = p.clamp(min=1e-30).log().clamp(min=LOWEST).mean()
        kept, fell = 1.0, 0.0
        if len(self._watched):
            now = self._said(material.watched)
            fell = float((self._watched - now).clamp(0, MOST_FALLEN).mean())
            kept = float(now.exp().mean() / self._watched.exp().mean().clamp(min=1e-6))
        text = read_lines(self._model, self._passages, CONTEXT, self._text)["divergence"]
        divergence = float(text.mean()) if len(text) else 0.0
        score = float(goal) - RETAIN * fell - TEXT * divergence
        return Judged(float(p.mean()), kept, divergence, score)

    def _said(self, pool: Pool | None) -> Tensor:
        if pool is None:
            return torch.zeros(0)
        return reference_log_probs(self._material, pool).float().cpu()
