"""Where a model keeps its blocks, attentions and MLPs, read from TransformerLens' adapters.

TransformerLens names each architecture's modules in an adapter's `component_mapping`; reading the
names from it (`module_names`) means that a family which the bridge knows needs no code here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from worker.contract.errors import UserError
from worker.core.models.module_names import Named, module_names


@dataclass(frozen=True)
class Layout:
    """Module names: `blocks` from the model's root, the rest from one block."""

    blocks: str
    attn: str
    o: str
    """The attention's output projection; its input is the heads' outputs side by side."""
    q: str = ""
    k: str = ""
    v: str = ""
    qkv: str = ""
    """The fused projection; empty where q, k and v are apart."""
    mlp: str = ""
    """Empty where the MLP has no module of its own (OPT)."""
    mlp_projections: tuple[str, ...] = ()
    mlp_out: str = ""
    """The MLP's last projection."""
    ln1: str = ""
    """The norm that the attention reads through."""
    ln2: str = ""
    """The norm that the MLP reads through; the attention's own where they share one (Phi)."""
    ln1_post: str = ""
    ln2_post: str = ""
    mlp_in: str = ""
    """The module whose input is the MLP's input."""
    ln_final: str = ""
    """From the model's root; empty where there is none."""
    unembed: str = ""
    """From the model's root."""
    attn_write: str = ""
    """The module whose output is added to the residual: the attention, or its post-norm."""
    mlp_write: str = ""
    """The module whose output is added to the residual: the MLP, its post-norm, or `mlp_out`."""


def read_layout(hf: PreTrainedModel) -> Layout:
    """Read the layout of a Hugging Face model; raise UserError for one the bridge does not know."""
    mapping = module_names(hf)
    blocks = mapping["blocks"]
    parts = blocks.submodules
    block = hf.get_submodule(blocks.name)[0]  # type: ignore[index]
    attn, mlp = parts["attn"], parts["mlp"]
    names = {key: f"{attn.name}.{part.name}" for key, part in attn.submodules.items()}
    present = {key: name for key, name in names.items() if _has(block, name)}
    prefix = f"{mlp.name}." if mlp.name else ""
    projections = {key: f"{prefix}{part.name}" for key, part in mlp.submodules.items()}
    projections = {key: name for key, name in projections.items() if _has(block, name)}
    mlp_out = projections.get("out", "")
    if not all(_has(each, mlp_out) for each in hf.get_submodule(blocks.name).children()):
        mlp_out = ""
    _refuse_odd_blocks(hf, blocks.name, attn.name, mlp.name or mlp_out, present)
    return Layout(
        blocks=blocks.name,
        attn=attn.name,
        mlp=mlp.name or "",
        mlp_projections=tuple(projections.values()),
        mlp_out=mlp_out,
        mlp_in=mlp.name or projections.get("in", ""),
        ln1=parts["ln1"].name if "ln1" in parts else "",
        ln2=parts["ln2" if "ln2" in parts else "ln1"].name if "ln1" in parts else "",
        ln1_post=parts["ln1_post"].name if "ln1_post" in parts else "",
        ln2_post=parts["ln2_post"].name if "ln2_post" in parts else "",
        ln_final=_name_of_final_norm(hf, mapping),
        unembed=mapping["unembed"].name,
        attn_write=parts["ln1_post"].name if "ln1_post" in parts else attn.name,
        mlp_write=parts["ln2_post"].name if "ln2_post" in parts else mlp.name or mlp_out,
        **{key: present[key] for key in ("q", "k", "v", "qkv", "o") if key in present},
    )


def _refuse_odd_blocks(
    hf: PreTrainedModel, blocks: str, attn: str, mlp: str, present: Mapping[str, str]
) -> None:
    """Refuse blocks that are not alike, and attentions whose heads cannot be told apart."""
    architecture = type(hf).__name__
    needed = [attn, mlp, *(present[key] for key in ("q", "k", "v", "qkv", "o") if key in present)]
    for number, block in enumerate(hf.get_submodule(blocks).children()):
        absent = [name for name in needed if not name or not _has(block, name)]
        if absent or "o" not in present:
            raise UserError(
                f"Block {number} of {architecture!r} has no {absent[0] if absent else 'attention'} "
                f"of the usual kind; expected a decoder whose blocks each have an attention and an "
                f"MLP. Choose a model whose blocks are alike.",
                field="model",
            )
    config = hf.config.get_text_config()
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    entering = _inputs(hf.get_submodule(blocks)[0].get_submodule(present["o"]))  # type: ignore[index]
    apart = {"q", "k", "v"} <= set(present) or "qkv" in present
    if not apart or entering != width:
        raise UserError(
            f"The heads of {architecture!r} cannot be told apart: its attention has no queries, "
            f"keys and values of {heads} heads side by side (as where they are compressed). Choose "
            f"a model with multi-head or grouped-query attention.",
            field="model",
        )


def _inputs(projection: torch.nn.Module) -> int:
    """How many values enter a projection, whichever way it keeps its weight."""
    n_inputs = getattr(projection, "in_features", None)
    if n_inputs is not None:
        return int(n_inputs)
    assert isinstance(projection.weight, torch.Tensor)
    return projection.weight.shape[0]


def _name_of_final_norm(hf: PreTrainedModel, mapping: Mapping[str, Named]) -> str:
    name = mapping["ln_final"].name if "ln_final" in mapping else ""
    return name if name and _has(hf, name) else ""


def _has(block: torch.nn.Module, name: str) -> bool:
    """Whether there is a module of that name; a block has itself under the empty one."""
    try:
        block.get_submodule(name)
    except AttributeError:
        return False
    return True
