"""Direct effects on logits: what is written to a position, read through the frozen final norm.

A norm's scale depends on the whole residual; frozen at that of the run, the norm is linear, so a
logit before any soft cap is the sum of what every component adds to it (Elhage et al. 2021).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worker.contract.errors import UserError
from worker.core.models.base_run import BaseRun
from worker.core.models.components import output_columns
from worker.core.models.model import Model
from worker.core.models.offloaded import weight_of
from worker.core.models.projections import weight_by_input
from worker.core.models.sites import module_at


def through_norm(
    norm: nn.Module, at: Float[Tensor, "row d_model"], direction: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_model"]:
    """Pull a direction back through a norm whose scale is frozen at `at`."""
    if isinstance(norm, nn.LayerNorm):
        scale = (at.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt()
        pulled = direction * scale * (1 if norm.weight is None else weight_of(norm).float())
        return pulled - pulled.mean(-1, keepdim=True)
    # A root-mean-square norm multiplies each entry; what it multiplies by can be read off.
    safe = torch.where(at.abs() < 1e-12, torch.full_like(at, 1e-12), at)
    dtype = next(norm.parameters()).dtype
    found: Tensor = direction * norm(safe.to(dtype)).float() / safe
    return found


def push_through(
    norm: nn.Module, at: Float[Tensor, "row d_model"], written: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_model"]:
    """Push a part of what a norm reads through it, its scale frozen at the whole `at`."""
    if isinstance(norm, nn.LayerNorm):
        scale = (at.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt()
        centred = written - written.mean(-1, keepdim=True)
        return centred * scale * (1 if norm.weight is None else weight_of(norm).float())
    # A root-mean-square norm multiplies each entry, the same way in both directions.
    return through_norm(norm, at, written)


def head_writes(run: BaseRun, layer: int, position: int = -1) -> list[Float[Tensor, "row d_model"]]:
    """What each head adds to the residual at a position, through a frozen post-norm if any.

    `run` has kept `z`.
    """
    z = run.sites["z"][layer][:, position]
    o = module_at(run.model, "z", layer)
    found = []
    for head in range(run.model.n_heads):
        columns = output_columns(run.model, head)
        weight = weight_by_input(o)[columns]
        found.append((z[:, columns] @ weight).float())
    if not run.model.layout.ln1_post:
        return found
    norm = run.model.blocks[layer].get_submodule(run.model.layout.ln1_post)
    whole = o(z).float()
    return [through_norm(norm, whole, head) for head in found]


def directions(
    run: BaseRun, tokens: Int[Tensor, " row"], position: int = -1
) -> Float[Tensor, "row d_model"]:
    """The residual direction whose product is each row's token's logit, without its constants.

    The norm is frozen at the row's final residual at `position`.
    """
    unembedding = unembedding_of(run.model)[tokens].float()
    return pulled_back(run, unembedding, position)


def pulled_back(
    run: BaseRun, readers: Float[Tensor, "row d_model"], position: int = -1
) -> Float[Tensor, "row d_model"]:
    """Pull what reads the final norm's output back to the residual, each row by its own scale."""
    if not run.model.layout.ln_final:
        return readers
    norm = run.model.hf.get_submodule(run.model.layout.ln_final)
    return through_norm(norm, run.resid[-1][:, position].float(), readers)


def unembedding_of(model: Model) -> Float[Tensor, "vocab d_model"]:
    """The unembedding's weight; raises UserError where it does not read the residual stream."""
    weight = weight_of(model.hf.get_submodule(model.layout.unembed))
    if weight.shape[-1] != model.d_model:
        raise UserError(
            f"In {model.id!r} the unembedding reads {weight.shape[-1]} values and the residual "
            f"stream has {model.d_model}, so logits cannot be split over components.",
            field="model",
        )
    return weight


def constants(model: Model, tokens: Int[Tensor, " row"]) -> dict[str, Float[Tensor, " row"]]:
    """What the final norm's bias and the unembedding's add to each token's logit."""
    found = {}
    if model.layout.ln_final:
        bias = getattr(model.hf.get_submodule(model.layout.ln_final), "bias", None)
        if isinstance(bias, Tensor):
            found["norm bias"] = unembedding_of(model)[tokens].float() @ bias.float()
    bias = getattr(model.hf.get_submodule(model.layout.unembed), "bias", None)
    if isinstance(bias, Tensor):
        found["head bias"] = bias[tokens].float()
    return found


def require_sum(run: BaseRun, field: str = "method") -> None:
    """Raise UserError where the last residual is not the sum of what components write.

    `run` has kept `attn_write` and `mlp_write`.
    """
    total = run.resid[0][:, -1].float()
    for site in ("attn_write", "mlp_write"):
        for write in run.sites[site]:
            total = total + write[:, -1].float()
    final = run.resid[-1][:, -1].float()
    if not torch.allclose(total, final, rtol=1e-2, atol=1e-2 * float(final.abs().max())):
        raise UserError(
            f"In {run.model.id!r} the residual stream is not the sum of what its components write, "
            f"so logits cannot be split over them. Choose another {field}.",
            field=field,
        )
