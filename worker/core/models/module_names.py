"""What the modules of an architecture are called, as TransformerLens' adapters say.

An adapter is only asked for names: no bridge is built, so the model's modules, forwards and weights
stay Hugging Face's own. Of common architectures the names stand in `module_names.json`, which a
test holds against the adapters: importing those takes seconds and brings datasets, pandas and
einops, which nothing else here needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from worker.contract.errors import UserError

FILE = Path(__file__).with_suffix(".json")
USED = ("blocks", "ln_final", "unembed")
"""Parts of a model whose names are used."""


@dataclass(frozen=True)
class Named:
    """A module's name from the one it is in, and its parts by TransformerLens' names."""

    name: str
    """Empty where the parts lie in the module above."""
    submodules: Mapping[str, Named] = field(default_factory=dict)


def module_names(hf: PreTrainedModel) -> Mapping[str, Named]:
    """Name the modules of a model; raise UserError for one that TransformerLens does not know."""
    return _known().get(type(hf).__name__) or asked_of_adapter(hf)


@cache
def _known() -> Mapping[str, Mapping[str, Named]]:
    written = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        architecture: {key: _read(part) for key, part in parts.items()}
        for architecture, parts in written.items()
    }


def _read(part: Mapping[str, Any]) -> Named:
    below = part.get("submodules", {})
    return Named(part["name"], {key: _read(one) for key, one in below.items()})


def asked_of_adapter(hf: PreTrainedModel) -> Mapping[str, Named]:
    """Name the modules as the architecture's adapter does."""
    from transformer_lens.factories.architecture_adapter_factory import (
        SUPPORTED_ARCHITECTURES,
        ArchitectureAdapterFactory,
    )
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

    architecture = type(hf).__name__
    if architecture not in SUPPORTED_ARCHITECTURES:
        raise UserError(
            f"TransformerLens knows no modules for the architecture {architecture!r}; expected one "
            f"of the {len(SUPPORTED_ARCHITECTURES)} that its bridge supports, such as "
            f"LlamaForCausalLM. Choose a model of a supported family.",
            field="model",
        )
    config = build_bridge_config_from_hf(hf.config, architecture, "model", torch.float32)
    adapter = ArchitectureAdapterFactory.select_architecture_adapter(config)
    mapping: dict[str, Any] | None = adapter.component_mapping
    submodules = getattr((mapping or {}).get("blocks"), "submodules", None) or {}
    if not mapping or not {"attn", "mlp"} <= set(submodules):
        raise UserError(
            f"A block of {architecture!r} has no attention and MLP of the usual kind; expected a "
            f"decoder whose blocks each have both. Choose a transformer language model.",
            field="model",
        )
    return {key: _of_bridge(mapping[key]) for key in USED if key in mapping}


def _of_bridge(component: Any) -> Named:
    below = getattr(component, "submodules", None) or {}
    return Named(component.name or "", {key: _of_bridge(one) for key, one in below.items()})
