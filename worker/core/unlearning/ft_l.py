"""Fine-tunes on the edit targets alone, each weight bound to a small distance from where it was.

1. L = λ · cross entropy of the edit target on the forget facts.
2. After each step of Adam, clip every weight of the mask to W₀ ± ε (an L∞ ball).
3. Keep the best checkpoint.

Source: Zhu et al. 2020 (arXiv 2012.00363), as the baseline FT+L of Meng et al. 2022 (2202.05262).
Limits: nothing holds other facts fast but ε.
"""

from typing import Any, cast

import torch
from pydantic import Field

from worker.contract.mask import Mask
from worker.contract.selection import Selection
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.finetune import finetune
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.terms import forget_term
from worker.core.training.trainer import Term

TITLE = "Fine-tuning in a small box (FT-L)"
PAPER = "Zhu et al. 2020, Modifying Memories in Transformer Models, arXiv 2012.00363"


class Options(Training):
    """Options of FT-L."""

    BY_WIDTH = ("learning_rate", "epsilon")

    epsilon: float = Field(
        0.02,
        gt=0,
        le=10,
        description="ε, the largest change of a weight (GPT-2 XL: 2e-4 to 5e-4; weights of the "
        "bundled model are about a hundred times fewer and larger).",
    )
    retain_weight: float = Field(0.0, ge=0, le=0, description="Always 0: only ε holds others fast.")
    general_weight: float = Field(0.0, ge=0, le=0, description="Always 0.")
    probe_every: int = Field(5, ge=1, le=10_000, description="Steps between quick probes.")


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Edit the forget facts through the mask's components inside the box."""
    return finetune(
        model, selection, mask, options, job, _terms, objective="edit", optimize=_stay_in_the_box
    )


def _terms(material: Material, options: Training) -> list[Term]:
    loss = lambda logits, batch: _losses.cross_entropy(logits, batch.labels)  # noqa: E731
    return [forget_term(material, options, loss, material.edit)]


def _stay_in_the_box(material: Material, options: Training) -> dict[str, Any]:
    epsilon, before = cast(Options, options).epsilon, material.parts.copy()

    def clip() -> None:
        with torch.no_grad():
            for master, value in zip(material.parts.masters, before, strict=True):
                master.clamp_(value - epsilon, value + epsilon)

    return {"after_step": clip}
