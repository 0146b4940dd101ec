"""Describe a model from its configuration, without reading its weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from worker.contract.errors import UserError
from worker.contract.menu import ModelInfo
from worker.core.demo.paths import WEIGHTS
from worker.core.models.components import component_parameters
from worker.core.models.load import (
    DEMO,
    check_loadable,
    model_folders,
    model_id,
    read_config,
)
from worker.core.models.model import Model

# Bytes per parameter and run kind beyond one pass of activations: a localization holds the
# weights; an edit also their copy, gradients and Adam's two moments in float32.
_COPIES = {"localize": 1.0, "evaluate": 1.5, "unlearn": 5.0, "explore": 1.0}


def list_models(roots: Sequence[Path] = ()) -> list[ModelInfo]:
    """Describe the bundled model and the model folders under the roots; load no weights."""
    folders = {DEMO: WEIGHTS} if (WEIGHTS / "config.json").exists() else {}
    for folder in model_folders(roots):
        folders.setdefault(model_id(folder, roots), folder)
    return [describe_model(name, folder) for name, folder in folders.items()]


def describe_model(name: str, folder: Path) -> ModelInfo:
    """Describe a model folder; a model that cannot be loaded says why in `problem`."""
    try:
        config = read_config(folder)
        check_loadable(folder, config)
        return _describe(name, folder, config)
    except UserError as error:
        return ModelInfo(id=name, title=_title(name), path=str(folder), problem=error.message)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # A configuration that transformers or TransformerLens cannot follow hides one model only.
        return ModelInfo(
            id=name,
            title=_title(name),
            path=str(folder),
            problem=f"{folder.name!r} cannot be understood: {error}. Save it anew with a current "
            f"transformers.",
        )


def _describe(name: str, folder: Path, config: dict[str, Any]) -> ModelInfo:
    model = _weightless(name, folder)
    n_parameters = sum(p.numel() for p in model.hf.parameters())
    card = _card(folder)
    return ModelInfo(
        id=name,
        title=str(card.get("title") or _title(name)),
        path=str(folder),
        architecture=type(model.hf).__name__,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads,
        d_model=model.d_model,
        d_vocab=model.d_vocab,
        n_parameters=n_parameters,
        component_parameters=component_parameters(model),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or "float32"),
        tokenizer=_tokenizer(folder),
        licence=str(card.get("licence") or card.get("license") or ""),
        memory_bytes={kind: int(4 * n_parameters * n) for kind, n in _COPIES.items()},
    )


def _weightless(name: str, folder: Path) -> Model:
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return Model(name, hf, PreTrainedTokenizerFast.__new__(PreTrainedTokenizerFast), folder)


def _title(name: str) -> str:
    return "Bundled model" if name == DEMO else name


def _card(folder: Path) -> dict[str, Any]:
    path = folder / "card.json"
    card = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return card if isinstance(card, dict) else {}


def _tokenizer(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return ""
    return str(json.loads(path.read_text(encoding="utf-8")).get("tokenizer_class", ""))
