"""Refuse a model whose weights are no numbers, as stored or in the dtype that it is loaded in."""

from __future__ import annotations

import torch

from worker.contract.errors import NotFinite
from worker.core.finite import count_words, is_finite
from worker.core.models.model import Model
from worker.core.models.offloaded import read_value
from worker.core.models.stored_values import StoredValues


def refuse_not_finite(model: Model, values: StoredValues) -> None:
    """Raise NotFinite where a stored tensor of `model` (without values) is NaN or infinite."""
    if values.wrong:
        more = f"; so have {len(values.wrong) - 1} tensors more" if len(values.wrong) > 1 else ""
        name, words = next(iter(values.wrong.items()))
        raise NotFinite(
            f"{model.id!r} cannot be used: {name}{_component(model, name)} {words}{more}. Every "
            f"answer would be computed from that. Take its files anew from where they came, or "
            f"mend the tensor.",
            field="model",
        )


def refuse_overflow(model: Model, dtype: torch.dtype) -> None:
    """Raise NotFinite where a stored number became infinite in the dtype that it is loaded in."""
    if torch.finfo(dtype).bits >= 32:
        return
    for name, parameter in model.hf.named_parameters():
        value = read_value(model.hf, name, parameter)
        if not is_finite(value):
            largest = torch.finfo(dtype).max
            raise NotFinite(
                f"{model.id!r} cannot be loaded in {str(dtype).removeprefix('torch.')}, whose "
                f"largest number is {largest:,.6g}: {name}{_component(model, name)} "
                f"{count_words(value)}. Choose the dtype float32.",
                field="dtype",
            )


def _component(model: Model, name: str) -> str:
    """Name the component, as masks do, that a tensor is of; empty for those of none."""
    blocks, _, rest = name.partition(f"{model.layout.blocks}.")
    layer, _, part = rest.partition(".")
    for kind, module in (("attn", model.layout.attn), ("mlp", model.layout.mlp)):
        if not blocks and module and part.startswith(f"{module}."):
            return f" (blocks.{layer}.{kind})"
    return ""
