"""Queries, keys and values of an attention, whether projected apart or by one fused matrix."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from worker.core.models.components import is_transposed
from worker.core.models.fused import fused_head_rows
from worker.core.models.model import Model
from worker.core.models.offloaded import weight_of

Part = Literal["q", "k", "v"]
PARTS: tuple[Part, ...] = ("q", "k", "v")


def projection(model: Model, layer: int, part: Part) -> nn.Module:
    """The module that projects a part."""
    layout = model.layout
    name = layout.qkv or {"q": layout.q, "k": layout.k, "v": layout.v}[part]
    return model.blocks[layer].get_submodule(name)


def weight_by_input(module: nn.Module) -> Float[Tensor, "in out"]:
    """A projection's weight, whichever way and wherever the module keeps it."""
    weight = weight_of(module)
    return weight if is_transposed(module) else weight.T


def n_parts(model: Model, part: Part) -> int:
    """How many heads a part has: under grouped-query attention fewer keys and values."""
    return model.n_heads if part == "q" else model.n_kv_heads


def output_rows(model: Model, part: Part) -> list[list[int]]:
    """List, for each head of a part, which outputs of its projection are its own."""
    width = model.d_head
    if not model.layout.qkv:
        return [list(range(h * width, (h + 1) * width)) for h in range(n_parts(model, part))]
    place = PARTS.index(part)
    group = model.n_heads // n_parts(model, part)
    rows = []
    for head in range(0, model.n_heads, group):
        # A head's outputs lie in the order q, k, v in every family that fuses them.
        own = [row for start, stop in fused_head_rows(model)[head] for row in range(start, stop)]
        rows.append(own[place * width : (place + 1) * width])
    return rows


def with_columns(output: Tensor, other: Tensor, columns: list[int]) -> Tensor:
    """A projection's output with some of its columns taken from another run."""
    mixed = output.clone()
    mixed[..., columns] = other[..., columns]
    return mixed
