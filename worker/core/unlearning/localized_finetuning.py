"""Trains only the chosen components to answer otherwise, while everything else is held fast.

The method of the paper, with its three losses:

1. Forget: in the objective `edit`, the cross entropy of the edit target on the forget facts
   (injection); in `unlearn`, −log(1 − p) of the target's first token, by log-sum-exp over all other
   tokens, where a fact with log p below −5 pulls no more.
2. Retain: the cross entropy of the target on the retain facts.
3. General: the cross entropy of plain text, or how far the model is from what the base says of it.

L = λ L_forget + L_retain + L_general, AdamW without decay, a cosine to 0, gradients clipped at 1.
With `partitions` the forget facts are edited in groups, one after another, each with its own
steps and a fresh optimizer; facts of earlier groups are never retain facts of later ones.

With `localize_each` every group is located anew, on the model as the groups before left it, and
has a mask of its own with as many parameters as the given one.

Departures: the general text is the project's own everyday sentences instead of the Pile; on other
models than the bundled its term is KL(base ‖ now) where the paper's is cross entropy
(`general_loss`), which makes that text, and all of its kind, likelier than it was; weights
in half precision are trained through float32 masters; groups share the given mask unless they are
located. Limits: only facts in the form of their own prompt are trained on.
"""

from typing import cast

from pydantic import Field

from worker.contract.mask import Mask
from worker.contract.selection import Selection
from worker.core.editing.check import Objective
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.finetune import finetune
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.terms import forget_term, kept_terms
from worker.core.training.trainer import Term

TITLE = "Localized fine-tuning"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"


class Options(Training):
    """Options of localized fine-tuning."""

    objective: Objective = Field(
        "edit",
        description="edit: put the edit target in the target's place. unlearn: only lower the "
        "target's probability, by −log(1 − p).",
    )
    partitions: int = Field(
        1,
        ge=1,
        le=64,
        description="Groups of forget facts edited one after another (paper: 4 of 16 facts).",
    )
    localize_each: str = Field(
        "",
        max_length=100,
        description="A localization method by which each group gets a mask of its own, of as many "
        "parameters as the given one (paper); empty: all groups share the given one.",
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Edit or unlearn the forget facts through the mask's components."""
    return finetune(
        model,
        selection,
        mask,
        options,
        job,
        _terms,
        objective=options.objective,
        partitions=options.partitions,
        localize_each=options.localize_each,
    )


def _terms(material: Material, options: Training) -> list[Term]:
    editing = cast(Options, options).objective == "edit"
    loss = _losses.cross_entropy if editing else _losses.unlikelihood
    forget = forget_term(
        material,
        options,
        lambda logits, batch: loss(logits, batch.labels),
        material.edit if editing else None,
    )
    return [forget, *kept_terms(material, options)]
