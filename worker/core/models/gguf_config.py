"""Complete a configuration that transformers rebuilt from a GGUF file's settings.

Its reader leaves out the width of heads in some families, the scaling of rotary positions and
sliding windows: a model would load without a word and compute something else. What stands in the
file is put back here; what cannot be is refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PretrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from worker.core.models.gguf_header import Header

LLAMA3_ORIGINAL = 8192
"""Context of the first Llama 3, from which its rotary scaling starts; a file does not name it."""
FREQS, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
SCALES = (FREQS, LONG, SHORT)
"""Tensors of a file that are settings and no parameters."""

STATED = {
    "context_length": "n_positions",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
"""Settings of a file, without its architecture's name -> the configuration's names."""
LARGEST = {"gemma2": 46, "gemma3": 62}
"""Layers of a family's largest model, whose queries are scaled in another way than the others'."""


class NotRead(Exception):
    """A setting has no place in the configuration; the message says which."""


def complete(config: PretrainedConfig, header: Header, file: Path) -> PretrainedConfig:
    """Put into a configuration what its file says beyond what transformers reads; return it.

    Raises NotRead for a rotary scaling that no configuration expresses.
    """
    for name, value in _stated(config, header).items():
        if hasattr(config, name):
            setattr(config, name, value)
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)  # the only layers that are scaled, in Gemma 3
    if "rope_theta" in rope:
        rope |= _partial(config, header, rope) | _scaling(config, header, file, rope)
    elif any(tensor.name in SCALES for tensor in header.tensors) or _kind(header):
        raise NotRead(f"its rotary positions are scaled, which {type(config).__name__} cannot say")
    return config


def _stated(config: PretrainedConfig, header: Header) -> dict[str, Any]:
    """What a file says under its architecture's name, by the configuration's names."""
    key, found = header.architecture, {}
    for setting, name in STATED.items():
        if f"{key}.{setting}" in header.settings:
            found[name] = header.settings[f"{key}.{setting}"]
    if hasattr(config, "global_head_dim"):
        found.pop("head_dim", None)  # Gemma 4 states the wider of its two widths
    if key in LARGEST:  # no file states it: as wide as a head, in the largest model d_model / heads
        is_largest = config.num_hidden_layers == LARGEST[key]
        wide = config.hidden_size // config.num_attention_heads
        found["query_pre_attn_scalar"] = wide if is_largest else found.get("head_dim", wide)
    return found


def _partial(config: PretrainedConfig, header: Header, rope: dict[str, Any]) -> dict[str, Any]:
    """The share of a head's width that is rotated, in families that rotate a part of it."""
    rotated = header.number(f"{header.architecture}.rope.dimension_count")
    if not rotated or "partial_rotary_factor" not in rope:
        return {}
    return {"partial_rotary_factor": rotated / _width(config)}


def _scaling(
    config: PretrainedConfig, header: Header, file: Path, rope: dict[str, Any]
) -> dict[str, Any]:
    """Rotary scaling: as the file names it, or as its factors show."""
    key, kind = f"{header.architecture}.rope.scaling", _kind(header)
    factors = {t.name: t for t in header.tensors if t.name in SCALES}
    original = int(header.number(f"{key}.original_context_length"))
    if LONG in factors or kind == "longrope":
        return _longrope(config, header, file, original)
    if FREQS in factors:
        return _llama3(config, rope, header.values(file, FREQS), original or LLAMA3_ORIGINAL)
    if kind == "linear":
        return {"rope_type": "linear", "factor": header.number(f"{key}.factor", 1.0)}
    if kind == "yarn":
        scaled = {"rope_type": "yarn", "factor": header.number(f"{key}.factor", 1.0)}
        return scaled | ({"original_max_position_embeddings": original} if original else {})
    if kind:
        raise NotRead(f"its rotary positions are scaled by {kind!r}, which is not known here")
    return {}


def _longrope(
    config: PretrainedConfig, header: Header, file: Path, original: int
) -> dict[str, Any]:
    if not original or not {LONG, SHORT} <= {t.name for t in header.tensors}:
        raise NotRead("its rotary positions are scaled by longrope, and its factors are not whole")
    # Some families hold it outside the rotary settings, and let it win over the one inside.
    if hasattr(config, "original_max_position_embeddings"):
        config.original_max_position_embeddings = original
    attention = header.number(f"{header.architecture}.rope.scaling.attn_factor")
    return {
        "rope_type": "longrope",
        "long_factor": header.values(file, LONG).tolist(),
        "short_factor": header.values(file, SHORT).tolist(),
        "original_max_position_embeddings": original,
    } | ({"attention_factor": attention} if attention else {})


def _llama3(
    config: PretrainedConfig, rope: dict[str, Any], factors: np.ndarray, original: int
) -> dict[str, Any]:
    """Llama 3's scaling, of which the file keeps what it divides each frequency by.

    It is taken when it gives back the very factors of the file.
    """
    scaled = {
        "rope_type": "llama3",
        "factor": float(factors.max()),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": original,
    }
    plain = torch.arange(0, _width(config), 2).float() / _width(config)
    frequencies = 1.0 / rope["rope_theta"] ** plain
    tried = type(config)(**config.to_dict() | {"rope_parameters": rope | scaled})
    found, _ = ROPE_INIT_FUNCTIONS["llama3"](tried, torch.device("cpu"))
    # The factors were computed in float32 along another order of operations.
    if len(factors) != len(found) or not np.allclose(frequencies / found, factors, rtol=1e-3):
        raise NotRead("its rotary positions are scaled by factors that are not Llama 3's")
    return scaled


def _kind(header: Header) -> str:
    kind = header.text(f"{header.architecture}.rope.scaling.type")
    return "" if kind == "none" else kind


def _width(config: PretrainedConfig) -> int:
    """Width of one head."""
    own = getattr(config, "head_dim", None)
    return int(own or config.hidden_size // config.num_attention_heads)
