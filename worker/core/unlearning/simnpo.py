"""Negative preference optimization without a reference: the target's loss per token must be high.

1. L = λ · −(2/β) · mean log σ(β (L/|y| − δ)) + CE(retain) + G(general text), where L/|y| is the
   target's negative log likelihood per token.
2. Train the mask's components on it and keep the best checkpoint.

Source: Fan et al. 2024 (arXiv 2410.07163). Departure: the general-text term G (`general_loss`).
Limits: as NPO's.
"""

from typing import cast

from pydantic import Field

from worker.contract.mask import Mask
from worker.contract.selection import Selection
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.finetune import finetune
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.terms import forget_term, kept_terms
from worker.core.training.trainer import Term

TITLE = "Simple negative preference optimization (SimNPO)"
PAPER = "Fan et al. 2024, Simplicity Prevails, arXiv 2410.07163"


class Options(Training):
    """Options of SimNPO."""

    beta: float = Field(4.5, gt=0, le=100, description="β, the inverse temperature (paper: 4.5).")
    delta: float = Field(
        0.0, ge=0, le=100, description="δ, the loss per token that is aimed above, nats (paper: 0)."
    )
    forget_weight: float = Field(
        4.0,
        ge=0,
        le=1000,
        description="Weight of the forget term (paper: γ = 0.125). On the bundled model 60 steps "
        "leave .01 to .06 of 8 facts with 4, and .17 to .62 with 1.",
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Raise the forget facts' loss per token above δ, through the mask's components."""
    return finetune(model, selection, mask, options, job, _terms, objective="unlearn")


def _terms(material: Material, options: Training) -> list[Term]:
    own = cast(Options, options)
    forget = forget_term(
        material,
        options,
        lambda logits, batch: _losses.simnpo(
            _losses.mean_losses(logits, batch.labels), own.delta, own.beta
        ),
    )
    return [forget, *kept_terms(material, options)]
