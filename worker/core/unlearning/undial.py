"""Distils the model into itself with the target's logit lowered.

1. Before training, keep the base's logits at the forget facts' answers.
2. Lower the target token's logit by β; its softmax is the label.
3. L = λ · cross entropy with that label + CE(retain) + G(general text); train the mask's
   components on it and keep the best checkpoint.

Source: Dong et al. 2024 (arXiv 2402.10052). Departure: only the answer's tokens are distilled, and
padding never is; the general-text term G (`general_loss`). Limits: the answer that takes the
target's place is the base's second choice, often another answer of the same type.
"""

from typing import cast

import torch
from pydantic import Field

from worker.contract.mask import Mask
from worker.contract.selection import Selection
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.finetune import finetune
from worker.core.training.forward import logits_at_answers
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.terms import REFERENCE_BATCH, forget_term, kept_terms
from worker.core.training.trainer import Term

TITLE = "Self-distillation (UNDIAL)"
PAPER = "Dong et al. 2024, UNDIAL, arXiv 2402.10052"


class Options(Training):
    """Options of UNDIAL."""

    beta: float = Field(
        10.0, gt=0, le=1000, description="β, by how much the target's logit is lowered (paper: 10)."
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Distil the model with lowered targets, through the mask's components."""
    return finetune(model, selection, mask, options, job, _terms, objective="unlearn")


def _terms(material: Material, options: Training) -> list[Term]:
    beta, pool = cast(Options, options).beta, material.forget
    width = pool.all.keep
    with torch.no_grad():
        kept = [
            torch.nn.functional.pad(
                logits_at_answers(material.model, batch, material.layer),
                (0, 0, width - batch.keep, 0),
            )
            for batch in pool.batches(REFERENCE_BATCH)
        ]
    reference = torch.cat(kept)  # [row, answer token, vocab]: answers are a few tokens
    forget = forget_term(
        material,
        options,
        lambda logits, batch: _losses.undial(
            logits, reference[batch.index, -batch.keep :], batch.labels, beta
        ),
    )
    return [forget, *kept_terms(material, options)]
