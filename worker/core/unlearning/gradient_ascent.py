"""Raises the loss of the forget facts until the answer is gone, and holds nothing else fast.

1. L = −λ · cross entropy of the target on the forget facts.
2. Train the mask's components on it; quick probes watch the retain facts.
3. Keep the checkpoint with the best product of forgetting and retention.

Source: Jang et al. 2023 (arXiv 2210.01504); METHODS of the field call it GA. Departure: the loss
has no lower bound and soon harms everything, so the best checkpoint is kept, not the last.
Limits: with the retain weight above 0 it is `grad_diff`.
"""

from pydantic import Field

from worker.contract.mask import Mask
from worker.contract.selection import Selection
from worker.contract.units import NEGATED
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.finetune import finetune
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.terms import forget_term
from worker.core.training.trainer import Term

TITLE = "Gradient ascent"
PAPER = "Jang et al. 2023, Knowledge Unlearning, arXiv 2210.01504"


class Options(Training):
    """Options of gradient ascent."""

    learning_rate: float = Field(
        4e-4,
        gt=0,
        le=1,
        description="Peak learning rate of AdamW; 1e-5 to 5e-5 for billions of parameters.",
    )
    retain_weight: float = Field(
        0.0, ge=0, le=0, description="Always 0: nothing is held fast (see grad_diff)."
    )
    general_weight: float = Field(0.0, ge=0, le=0, description="Always 0.")
    probe_every: int = Field(
        2,
        ge=1,
        le=10_000,
        description="Steps between quick probes; ascent overshoots within a few.",
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Raise the forget facts' loss through the mask's components."""
    return finetune(model, selection, mask, options, job, _terms, objective="unlearn")


def _terms(material: Material, options: Training) -> list[Term]:
    ascent = lambda logits, batch: -_losses.cross_entropy(logits, batch.labels)  # noqa: E731
    return [forget_term(material, options, ascent, unit=NEGATED)]
