"""Raises the loss of the forget facts while it lowers that of the retain facts.

1. L = −λ · CE(forget) + α · CE(retain) + G(general text).
2. Train the mask's components on it and keep the best checkpoint.

Source: Liu et al. 2022 (arXiv 2203.12817); Maini et al. 2024 (2401.06121) for the form with retain
facts. Departures: the general-text term G (`general_loss`), and the other terms' weights (general
0, forget and retain 1 give the published loss). Limits: the forget term has no lower bound; `npo`
and `simnpo` are bounded.
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
from worker.core.training.terms import forget_term, kept_terms
from worker.core.training.trainer import Term

TITLE = "Gradient difference"
PAPER = "Maini et al. 2024, TOFU, arXiv 2401.06121"


class Options(Training):
    """Options of gradient difference."""

    learning_rate: float = Field(
        8e-3,
        gt=0,
        le=1,
        description="Peak learning rate of AdamW (1e-5 for billions of parameters). On the bundled "
        "model half of this rate, at the same retain weight, leaves .50 to .93 of 8 athletes.",
    )
    forget_weight: float = Field(
        0.5, ge=0, le=1000, description="Weight of the negated forget loss (published: 1)."
    )
    retain_weight: float = Field(
        2.0,
        ge=0,
        le=1000,
        description="Weight of the retain loss (published: 1). On the bundled model, 8 athletes, "
        "three seeds, 2 left .12 to .37 of the forget facts and .98 to 1.00 of the others; with 3 "
        "two draws were not forgotten at all.",
    )
    probe_every: int = Field(2, ge=1, le=10_000, description="Steps between quick probes.")


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Raise the forget facts' loss and lower the retain facts' through the mask's components."""
    return finetune(model, selection, mask, options, job, _terms, objective="unlearn")


def _terms(material: Material, options: Training) -> list[Term]:
    ascent = lambda logits, batch: -_losses.cross_entropy(logits, batch.labels)  # noqa: E731
    return [forget_term(material, options, ascent, unit=NEGATED), *kept_terms(material, options)]
