"""Writes many new answers into MLPs along directions that other knowledge does not use.

1. Values and keys as MEMIT's.
2. P projects on the eigenvectors of the keys' second moment C whose eigenvalue is small: what keys
   of other text hardly reach.
3. Add the solution of (P (K Kᵀ + K_p K_pᵀ) + L2 · I) Δᵀ = P K Rᵀ to each projection, in float64, R
   being spread over the layers as in MEMIT, and K_p the keys of the facts that edits below changed.

Source: Fang et al. 2025 (arXiv 2410.02355). Departures: "small" is said by the share of C that the
directions carry together, and not by an eigenvalue, because the spectrum's scale and form differ
between models and between layers of one: in SmolLM2-135M 1,005 of 1,536 directions lie below .02 of
the mean at layer 2, where a few hold nearly all, and none at layer 5; a hundredth of C lies in
hundreds of directions in both. K_p is computed anew on the weights as they are, so that any
method's edits below are protected. Limits: models that norm an MLP's output are refused.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.menu import Need
from worker.contract.selection import Selection
from worker.core.closed_form.memory import mlp_layers, projection_slices
from worker.core.closed_form.spread import Layer, spread
from worker.core.closed_form.values import ValueOptions
from worker.core.editing.check import check_selection
from worker.core.editing.edit import edit
from worker.core.findings import Findings, Job
from worker.core.models.abilities import require
from worker.core.models.model import Model

TITLE = "Editing in a null space (AlphaEdit)"
PAPER = "Fang et al. 2025, AlphaEdit, arXiv 2410.02355"
NEEDS: tuple[Need, ...] = ("mlp_matrix", "plain_mlp_write")


class Options(ValueOptions):
    """Options of AlphaEdit."""

    threshold: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Directions of the smallest eigenvalues count as unused that together carry at "
        "most this share of C (paper: eigenvalues below 0.02, absolute, for Llama-3-8B).",
    )
    ridge: float = Field(
        0.1, gt=0, le=1e6, description="L2, the weight of the change's size (paper: 10)."
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Write the edit targets into the mask's MLPs inside the null space of other keys."""
    require(model, NEEDS)
    check_selection(selection, "edit", retain_weight=0)
    layers = mlp_layers(model, mask)

    def solve(layer: Layer) -> Float[Tensor, "d_model d_mlp"]:
        projector = null_space(layer.moments, options.threshold)
        return solve_inside(layer.keys, layer.residue, projector, options.ridge, layer.earlier)

    return edit(
        model,
        projection_slices(model, layers),
        job,
        lambda: spread(model, selection, layers, options, job, solve),
    )


def null_space(moments: Float[Tensor, "d d"], threshold: float) -> Float[Tensor, "d d"]:
    """Project on the directions that together carry at most a share `threshold` of the moment."""
    values, vectors = torch.linalg.eigh(moments)
    carried = (values.clamp(min=0).cumsum(0) / values.clamp(min=0).sum()).clamp(max=1)
    unused = vectors[:, carried <= threshold]
    if not unused.shape[1]:
        raise UserError(
            f"No direction of the keys is unused at a threshold of {threshold:g}: the one that is "
            f"used least carries {float(carried[0]):.3g} of their second moment. Raise the "
            f"threshold.",
            field="options.threshold",
        )
    projector: Tensor = unused @ unused.T
    return projector


def solve_inside(
    keys: Float[Tensor, "fact d_mlp"],
    residue: Float[Tensor, "fact d_model"],
    projector: Float[Tensor, "d_mlp d_mlp"],
    ridge: float,
    earlier: Float[Tensor, "earlier d_mlp"] | None = None,
) -> Float[Tensor, "d_model d_mlp"]:
    """Solve (P (K Kᵀ + K_p K_pᵀ) + L2 I) Δᵀ = P K Rᵀ; K_p are the keys of earlier edits."""
    inside = projector @ keys.T
    system = inside @ keys + ridge * torch.eye(len(projector), dtype=keys.dtype, device=keys.device)
    if earlier is not None:
        system = system + projector @ (earlier.T @ earlier)
    change: Tensor = torch.linalg.solve(system, inside @ residue).T
    return change
