"""What a head adds to the answer from each token that it attends to."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.explore._patterns import Attended
from worker.core.models.components import output_columns
from worker.core.models.projections import weight_by_input
from worker.core.models.sites import module_at
from worker.core.patching.direct import through_norm


def pulled_to_heads(
    attended: Attended, layer: int, direction: Float[Tensor, " d_model"], position: int = -1
) -> Float[Tensor, "head d_head"]:
    """Pull a residual direction at a position back to what each head puts out there.

    A post-norm's scale is frozen at that of the run, whose `z` was kept.
    """
    model, run = attended.run.model, attended.run
    o = module_at(model, "z", layer)
    if model.layout.ln1_post:
        norm = model.blocks[layer].get_submodule(model.layout.ln1_post)
        whole = o(run.sites["z"][layer][:1, position]).float()
        direction = through_norm(norm, whole, direction[None])[0]
    weight = weight_by_input(o).float()
    columns = [output_columns(model, head) for head in range(model.n_heads)]
    return torch.stack([weight[own] @ direction for own in columns])


def moved(
    attended: Attended, layer: int, direction: Float[Tensor, " d_model"]
) -> Float[Tensor, "head key"]:
    """What each head adds along a direction at the last token, by the token that it comes from."""
    pulled = pulled_to_heads(attended, layer, direction)
    along = torch.einsum("hkd,hd->hk", attended.values(layer).float(), pulled)
    return attended.patterns[layer][:, -1] * along
