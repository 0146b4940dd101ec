"""Prefers "I don't know" over the target, by direct preference optimization.

1. Before training, score the refusal and the target after each forget prompt.
2. L = λ · −(2/β) · mean log σ(β ((log p − log p_ref)(refusal) − (log p − log p_ref)(target)))
   + CE(retain) + G(general text).
3. Train the mask's components on it and keep the best checkpoint.

Source: Maini et al. 2024 (arXiv 2401.06121) on Rafailov et al. 2023 (2305.18290). Departures: one
refusal for all facts; the general-text term G (`general_loss`). Limits: the refusal may not be in a
small model's language, and is then preferred only relatively.
"""

from typing import cast

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
from worker.core.training.pool import Batch, fact_rows
from worker.core.training.terms import forget_term, kept_terms, reference_log_probs
from worker.core.training.trainer import Term

TITLE = "Preferring “I don’t know” (DPO)"
PAPER = "Maini et al. 2024, TOFU, arXiv 2401.06121"


class Options(Training):
    """Options of DPO towards a refusal."""

    beta: float = Field(0.1, gt=0, le=100, description="β, the inverse temperature (TOFU: 0.1).")
    refusal: str = Field(
        "I do not know", min_length=1, max_length=200, description="The answer to be preferred."
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Prefer the refusal over the forget facts' targets, through the mask's components."""
    return finetune(model, selection, mask, options, job, _terms, objective="unlearn")


def _terms(material: Material, options: Training) -> list[Term]:
    own = cast(Options, options)
    rows = fact_rows(material.model, material.facts, [own.refusal] * len(material.facts))
    refusals = material.pool(rows)
    refused = reference_log_probs(material, refusals)
    known = reference_log_probs(material, material.forget)

    def loss(logits, batch: Batch):  # type: ignore[no-untyped-def]
        other = refusals.batch(batch.index)
        chosen = logits_at_answers(material.model, other, material.layer)
        return _losses.dpo(
            _losses.answer_log_probs(chosen, other.labels),
            refused[batch.index],
            _losses.answer_log_probs(logits, batch.labels),
            known[batch.index],
            own.beta,
        )

    return [forget_term(material, options, loss), *kept_terms(material, options)]
