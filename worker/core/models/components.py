"""From a component's name to the parameters that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from worker.contract.components import Component, parse_component
from worker.contract.errors import UserError
from worker.core.models.fused import fused_head_rows
from worker.core.models.model import Model


@dataclass(frozen=True)
class Slice:
    """A part of a parameter; `index` None means all of it."""

    parameter: str
    index: tuple[slice, ...] | None = None


def component_slices(model: Model, name: str) -> list[Slice]:
    """List the parts of parameters that a component is made of.

    An MLP is its projections, an attention its q, k, v and o, both with biases and without norms.
    A head is its rows of q, k and v and its columns of o; under grouped-query attention heads of
    one group share their k and v. The bias of o belongs to the whole attention, to no head.
    """
    component = _checked(model, name)
    if component.head is None:
        return [Slice(parameter) for parameter in _whole(model, component)]
    return _head_slices(model, component.layer, component.head)


def component_parameters(model: Model) -> dict[str, int]:
    """Count every component's parameters, in model order."""
    counts: dict[str, int] = {}
    sizes = {name: p.numel() for name, p in model.hf.named_parameters()}
    for layer in range(model.n_layers):
        for kind in ("attn", "mlp"):
            component = Component(layer, kind)
            counts[str(component)] = sum(sizes[name] for name in _whole(model, component))
        of_head = _count_head(model, layer)
        counts |= {str(Component(layer, "attn", head)): of_head for head in range(model.n_heads)}
    return counts


def output_columns(model: Model, head: int) -> slice:
    """Say which entries of the output projection's input are a head's output."""
    return slice(head * model.d_head, (head + 1) * model.d_head)


def is_transposed(module: nn.Module) -> bool:
    """Whether a projection keeps its weight as [in, out], as GPT-2's Conv1D does."""
    return not isinstance(module, nn.Linear)


def _checked(model: Model, name: str) -> Component:
    component = parse_component(name)
    if component.layer >= model.n_layers or (component.head or 0) >= model.n_heads:
        raise UserError(
            f"{model.id!r} has no component {name!r}; it has layers 0 to {model.n_layers - 1} with "
            f"heads 0 to {model.n_heads - 1}.",
            field="mask.components",
        )
    return component


def _whole(model: Model, component: Component) -> list[str]:
    layout, block = model.layout, model.blocks[component.layer]
    if component.kind == "attn":
        modules = [name for name in (layout.q, layout.k, layout.v, layout.qkv, layout.o) if name]
    else:
        modules = [layout.mlp] if layout.mlp else list(layout.mlp_projections)
    prefix = f"{layout.blocks}.{component.layer}"
    found = [
        f"{prefix}.{module}.{name}"
        for module in modules
        for name, _ in block.get_submodule(module).named_parameters()
        if "norm" not in name.lower() and not name.endswith("weight_scale")
    ]
    return list(dict.fromkeys(found))


def _head_slices(model: Model, layer: int, head: int) -> list[Slice]:
    layout = model.layout
    group = head // (model.n_heads // model.n_kv_heads)
    if layout.qkv:
        found = [
            part
            for start, stop in fused_head_rows(model)[head]
            for part in _rows(model, layer, layout.qkv, slice(start, stop))
        ]
    else:
        found = _rows(model, layer, layout.q, output_columns(model, head))
        found += _rows(model, layer, layout.k, output_columns(model, group))
        found += _rows(model, layer, layout.v, output_columns(model, group))
    everything, columns = slice(None), output_columns(model, head)
    transposed = is_transposed(model.blocks[layer].get_submodule(layout.o))
    weight = f"{layout.blocks}.{layer}.{layout.o}.weight"
    return [*found, Slice(weight, (columns,) if transposed else (everything, columns))]


def _rows(model: Model, layer: int, name: str, rows: slice) -> list[Slice]:
    module = model.blocks[layer].get_submodule(name)
    path = f"{model.layout.blocks}.{layer}.{name}"
    weight = (slice(None), rows) if is_transposed(module) else (rows,)
    bias = isinstance(getattr(module, "bias", None), torch.Tensor)
    return [Slice(f"{path}.weight", weight)] + ([Slice(f"{path}.bias", (rows,))] if bias else [])


def _count_head(model: Model, layer: int) -> int:
    layout, block = model.layout, model.blocks[layer]
    inputs = [layout.qkv] * 3 if layout.qkv else [layout.q, layout.k, layout.v]
    count = model.d_head * model.d_model  # the columns of o
    for name in inputs:
        module = block.get_submodule(name)
        bias = isinstance(getattr(module, "bias", None), torch.Tensor)
        count += model.d_head * (model.d_model + int(bias))
    return count
