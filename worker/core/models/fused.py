"""Which outputs of a fused q-k-v projection belong to which head.

Families order them differently: GPT-2 has all q, then all k, then all v; GPT-NeoX has q, k and v of
one head after another; Phi-3 has fewer k and v than q. Rather than know each family, the model is
asked: an output belongs to a head when that head's result depends on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worker.core.kept import once_for_each
from worker.core.models.model import Model

_N_TOKENS = 4  # with one token the softmax is constant and nothing depends on q and k


@once_for_each
def fused_head_rows(model: Model) -> list[list[tuple[int, int]]]:
    """List for each head the (start, stop) ranges of the fused projection's outputs it uses."""
    with torch.enable_grad():  # also where the caller wants none
        joint, heads = _run_first_attention(model)
        return [
            _ranges(torch.autograd.grad(_pick(heads, model, h), joint, retain_graph=True)[0])
            for h in range(model.n_heads)
        ]


def _run_first_attention(model: Model) -> tuple[Tensor, Tensor]:
    """Run the model on a few tokens; return the projection's output and the heads' results."""
    seen: dict[str, Tensor] = {}

    def start_graph(module: object, inputs: object, output: Tensor) -> Tensor:
        seen["joint"] = output.detach().requires_grad_()
        return seen["joint"]

    def keep_heads(module: object, inputs: tuple[Tensor, ...]) -> None:
        seen["heads"] = inputs[0]

    block = model.blocks[0]
    ids = torch.arange(1, _N_TOKENS + 1, device=model.device)[None] % model.d_vocab
    handles = [
        block.get_submodule(model.layout.qkv).register_forward_hook(start_graph),
        block.get_submodule(model.layout.o).register_forward_pre_hook(keep_heads),
    ]
    try:
        model.hf(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return seen["joint"], seen["heads"]


def _pick(heads: Tensor, model: Model, head: int) -> Tensor:
    part = heads[..., head * model.d_head : (head + 1) * model.d_head]
    # Squares, so that no sum over the head's entries can cancel exactly.
    return part.float().square().sum()


def _ranges(gradient: Tensor) -> list[tuple[int, int]]:
    used = torch.nonzero(gradient.abs().sum(dim=tuple(range(gradient.ndim - 1)))).flatten().tolist()
    ranges: list[tuple[int, int]] = []
    for row in used:
        if ranges and ranges[-1][1] == row:
            ranges[-1] = (ranges[-1][0], row + 1)
        else:
            ranges.append((row, row + 1))
    return ranges
