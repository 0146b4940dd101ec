"""Treats the target as an answer that is not preferred: a bounded gradient ascent.

1. Before training, score the forget facts' targets: log p_ref. No reference model is held.
2. L = λ · −(2/β) · mean log σ(β (log p_ref − log p)) + CE(retain) + G(general text).
3. Train the mask's components on it and keep the best checkpoint.

Source: Zhang et al. 2024 (arXiv 2404.05868). Departure: the general-text term G (`general_loss`).
Limits: as p falls the term's gradient dies out, so facts are made unlikely, not impossible.
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
from worker.core.training.terms import forget_term, kept_terms, reference_log_probs
from worker.core.training.trainer import Term

TITLE = "Negative preference optimization (NPO)"
PAPER = "Zhang et al. 2024, NPO, arXiv 2404.05868"


class Options(Training):
    """Options of NPO."""

    beta: float = Field(
        0.1, gt=0, le=100, description="β, the inverse temperature (paper: 0.1, no unit)."
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Make the forget facts' targets less likely than they were, through the mask's components."""
    return finetune(model, selection, mask, options, job, _terms, objective="unlearn")


def _terms(material: Material, options: Training) -> list[Term]:
    beta = cast(Options, options).beta
    reference = reference_log_probs(material, material.forget)
    forget = forget_term(
        material,
        options,
        lambda logits, batch: _losses.npo(
            _losses.answer_log_probs(logits, batch.labels), reference[batch.index], beta
        ),
    )
    return [forget, *kept_terms(material, options)]
