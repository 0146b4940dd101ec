"""Look at the logits of every forward, and name the first component whose output is no number.

The look is a hook on the model's own module, so it sees every way of running it: asking, tracing,
restarts, gradients, training, generation. Only where logits are NaN or infinite is the forward run
once more, to find where they came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from worker.contract.errors import NotFinite, UserError
from worker.core.finite import count_words, is_finite
from worker.core.models.float_head import computes_in_float32
from worker.core.models.intercept import first_tensor
from worker.core.models.layout import read_layout


def watch_logits(hf: PreTrainedModel) -> None:
    """Have every forward of this model raise NotFinite where its logits are NaN or infinite."""
    if _look not in hf._forward_hooks.values():
        hf.register_forward_hook(_look, with_kwargs=True)


def _look(hf: PreTrainedModel, args: Any, kwargs: dict[str, Any], output: Any) -> None:
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor) and not logits.is_meta and not is_finite(logits):
        raise NotFinite(_words(hf, args, kwargs, logits))


def _words(hf: PreTrainedModel, args: Any, kwargs: dict[str, Any], logits: Tensor) -> str:
    name, values = _first(hf, args, kwargs) or ("its last layers", logits)
    dtype = str(values.dtype).removeprefix("torch.")
    cure = "Look at what was put on it: an edit, a rate that was too high, noise that was too large"
    if values.itemsize < 4 and bool(values.isinf().any()):
        largest = torch.finfo(values.dtype).max
        cure = f"The largest number of {dtype} is {largest:,.6g}; choose the dtype float32"
    return (
        f"The model gives no numbers: the output of {name} {count_words(values)} (in {dtype}), and "
        f"nothing can be read from what follows. {cure}."
    )


@torch.no_grad()
def _first(hf: PreTrainedModel, args: Any, kwargs: dict[str, Any]) -> tuple[str, Tensor] | None:
    """Run again and find the first component whose output is not finite, and that output.

    None where no component is known, or the forward added to a cache that cannot be taken back.
    """
    found: list[tuple[str, Tensor]] = []
    again = _before_growing(kwargs)
    if again is None:
        return None

    def note(name: str, module: nn.Module, output: Any) -> None:
        values = first_tensor(output)
        # A module whose forward is replaced gives what was put in its place, unless its own numbers
        # are computed there in another dtype.
        if isinstance(values, Tensor) and not is_finite(values):
            is_replaced = "forward" in vars(module) and not computes_in_float32(module)
            whose = f"what was put in place of {name}" if is_replaced else name
            found.append((whose, values.detach()))

    with ExitStack() as stack:
        for name, module in _components(hf):
            hook = module.register_forward_hook(
                lambda module, _, output, name=name: note(name, module, output)
            )
            stack.callback(hook.remove)
        hf.forward(*args, **again)
    return found[0] if found else None


def _components(hf: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    """Embeddings, and every attention, MLP and block by its name in masks."""
    yield "the token embeddings", hf.get_input_embeddings()
    try:
        layout = read_layout(hf)
    except UserError:  # of no family that is known: the logits are named alone
        return
    for layer, block in enumerate(hf.get_submodule(layout.blocks).children()):
        yield f"blocks.{layer}.attn", block.get_submodule(layout.attn)
        mlp = layout.mlp or layout.mlp_out
        if mlp:
            yield f"blocks.{layer}.mlp", block.get_submodule(mlp)
        yield f"block {layer}", block
    yield "the unembedding", hf.get_submodule(layout.unembed)


def _before_growing(kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Give the arguments with a key-value cache as it was before the forward added to it."""
    past, ids = kwargs.get("past_key_values"), kwargs.get("input_ids")
    # A restart's cache does not grow, and such a run takes embeddings.
    if not isinstance(past, Cache) or ids is None:
        return kwargs
    layers = [layer for layer in past.layers if type(layer) is DynamicLayer]
    if len(layers) < len(past.layers):
        return None
    shorter = Cache(layers=[_shortened(layer, ids.shape[1]) for layer in layers])
    return {**kwargs, "past_key_values": shorter}


def _shortened(layer: DynamicLayer, n: int) -> DynamicLayer:
    made = DynamicLayer()
    assert layer.keys is not None and layer.values is not None
    made.lazy_initialization(layer.keys, layer.values)
    made.keys, made.values = layer.keys[..., :-n, :], layer.values[..., :-n, :]
    return made
