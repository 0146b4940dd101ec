"""Steers what the model represents for the forget facts to a random direction, at one layer.

1. Draw a unit direction u; take the mean norm n of the forget facts' activations at the layer.
2. Forget: squared distance of the activations, from the subject on, to c · n · u.
3. Retain: α times the squared distance of the retain facts' and the general text's activations to
   what they were before training. These were kept; no second model is held.
4. Train the mask's components at or below the layer; nothing above the layer is computed.

Source: Li et al. 2024 (arXiv 2403.03218), where c · n is one constant (6.5 for Zephyr-7B);
Dang et al. 2024 (2408.06223) scale it by the norm, as here. Departures: squared distances are
relative to the mean square of the activations, so that α does not depend on the model's scale, and
in retaining to a position's own where that is larger: in many models the first token's activations
are a hundred times as large as others (Sun et al. 2024, 2402.17762; a norm of 24,000 beside 150 in
the middle of SmolLM2-135M), and but for this hardly anything else would be retained. The prompt
before the subject is left alone, because retain facts share it. Limits: what the layer holds is
scrambled, not taken out; relearning and probes below the layer may find it.
"""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.selection import Selection
from worker.contract.units import DISTANCE
from worker.core.editing.parts import components_of
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact
from worker.core.training import losses as _losses
from worker.core.training.finetune import finetune
from worker.core.training.forward import hidden_before
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.pool import Batch, Pool
from worker.core.training.terms import REFERENCE_BATCH
from worker.core.training.trainer import Term

TITLE = "Representation misdirection (RMU)"
PAPER = "Li et al. 2024, WMDP and RMU, arXiv 2403.03218"


class Options(Training):
    """Options of RMU."""

    layer: int = Field(
        -1,
        ge=-1,
        le=1000,
        description="Layer whose output is steered; -1 takes the mask's highest.",
    )
    steering: float = Field(
        2.0, gt=0, le=1000, description="c, the steered norm over the mean norm of activations."
    )
    retain_weight: float = Field(
        10.0, ge=0, le=1e6, description="α on the retain facts (Zephyr-7B: 1200 in absolute units)."
    )
    general_weight: float = Field(10.0, ge=0, le=1e6, description="α on the general text.")


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Steer the forget facts' activations through the mask's components."""
    layers = sorted({parse_component(name).layer for name in components_of(model, mask)})
    layer = layers[-1] if options.layer < 0 else options.layer
    if not layers[-1] <= layer < model.n_layers:
        raise UserError(
            f"The layer is {layer}, the mask reaches layer {layers[-1]} of {model.n_layers}; "
            f"expected a layer from the mask's highest on, since nothing above it is trained.",
            field="options.layer",
        )
    options = options.model_copy(update={"layer": layer})
    return finetune(model, selection, mask, options, job, _terms, objective="unlearn")


def _terms(material: Material, options: Training) -> list[Term]:
    own = cast(Options, options)
    model, after = material.model, own.layer + 1

    def forward(batch: Batch, layer: int) -> Tensor:
        return hidden_before(model, batch, after, layer)

    with torch.no_grad():
        known = torch.cat([
            forward(batch, material.layer)[:, -1].float()
            for batch in material.forget.batches(REFERENCE_BATCH)
        ])  # fmt: skip
    size = known.square().mean()
    generator = torch.Generator().manual_seed(material.seed)
    direction = torch.randn(model.d_model, generator=generator).to(model.device)
    wanted = own.steering * known.norm(dim=-1).mean() * direction / direction.norm()
    subject = _from_subject(material)
    terms = [
        Term(
            "forget",
            own.forget_weight,
            material.forget,
            own.forget_batch,
            lambda hidden, batch: _losses.steer(hidden, wanted, _cut(subject, batch)) / size,
            forward,
            unit=DISTANCE,
        )
    ]
    kept = (
        ("retain", material.retain, own.retain_weight, own.retain_batch),
        ("general", material.general, own.general_weight, own.general_batch),
    )
    for name, pool, weight, batch_size in kept:
        if pool is not None and weight > 0:
            reference = _reference(model, pool, after, material.layer)
            stay = _stay(reference, size)
            terms.append(Term(name, weight, pool, batch_size, stay, forward, unit=DISTANCE))
    return terms


def _stay(
    reference: Float[Tensor, "row pos d_model"], size: Float[Tensor, ""]
) -> Callable[[Float[Tensor, "batch pos d_model"], Batch], Float[Tensor, ""]]:
    def loss(hidden: Float[Tensor, "batch pos d_model"], batch: Batch) -> Float[Tensor, ""]:
        wanted = reference[batch.index, -hidden.shape[1] :].float()
        norm = wanted.square().mean(-1, keepdim=True).maximum(size).sqrt()
        return _losses.steer(hidden.float() / norm, wanted / norm, batch.mask.bool())

    return loss


def _reference(
    model: Model, pool: Pool, after: int, layer: int
) -> Float[Tensor, "row pos d_model"]:
    kept = torch.zeros(*pool.all.ids.shape, model.d_model, dtype=model.dtype, device=model.device)
    with torch.no_grad():
        for batch in pool.batches(REFERENCE_BATCH):
            hidden = hidden_before(model, batch, after, layer)
            kept[batch.index, -hidden.shape[1] :] = hidden
    return kept


def _from_subject(material: Material) -> Bool[Tensor, "row pos"]:
    """Mark the positions from each forget fact's subject on."""
    marked = torch.zeros_like(material.forget.all.mask, dtype=torch.bool)
    for row, fact in enumerate(material.facts):
        start = encode_fact(material.model, fact).subject[0]
        marked[row, marked.shape[1] - int(material.forget.lengths[row]) + start :] = True
    return marked


def _cut(marked: Bool[Tensor, "row pos"], batch: Batch) -> Bool[Tensor, "batch pos"]:
    return marked[batch.index, -batch.ids.shape[1] :]
