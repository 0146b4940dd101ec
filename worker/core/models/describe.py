"""Describe a model from its configuration, without reading its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from worker.contract.errors import UserError
from worker.contract.menu import ModelInfo
from worker.core.demo.paths import WEIGHTS
from worker.core.models.card import read_licence, read_note, read_title, read_tokenizer
from worker.core.models.components import component_parameters
from worker.core.models.load import (
    DEMO,
    check_loadable,
    compute_dtype,
    make_weightless,
    model_folders,
    model_id,
    read_config,
)
from worker.core.models.memory import estimate_memory, estimate_memory_8bit
from worker.core.models.model import Model
from worker.core.models.placement import place


def list_models(
    roots: Sequence[Path] = (),
    device: str | torch.device = "cpu",
    room: Mapping[str, int] | None = None,
) -> list[ModelInfo]:
    """Describe the bundled model and the model folders under the roots; load no weights.

    `device` is where they would be loaded: it decides the dtype and so the memory. `room` is what
    each device may take, and decides where blocks are put of what the first cannot hold.
    """
    folders = {DEMO: WEIGHTS} if (WEIGHTS / "config.json").exists() else {}
    for folder in model_folders(roots):
        folders.setdefault(model_id(folder, roots), folder)
    return [describe_model(name, folder, device, room) for name, folder in folders.items()]


def describe_model(
    name: str,
    folder: Path,
    device: str | torch.device = "cpu",
    room: Mapping[str, int] | None = None,
) -> ModelInfo:
    """Describe a model folder; a model that cannot be loaded says why in `problem`."""
    try:
        config = read_config(folder)
        check_loadable(folder, config)
        info = _described(name, folder, _newest(folder), torch.device(device))
        return info if room is None else _placed(info, folder, torch.device(device), room)
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


def _placed(
    info: ModelInfo, folder: Path, device: torch.device, room: Mapping[str, int]
) -> ModelInfo:
    """Say where a model's blocks would be, and what the first device then needs.

    Nothing is said where it fits, or cannot be made to.
    """
    if info.memory_bytes["load"] <= next(iter(room.values())):
        return info
    dtype = compute_dtype(read_config(folder), "auto", device)
    model = _weightless(info.id, folder, _newest(folder))
    try:
        placement = place(model, dtype, room)
    except UserError:
        return info
    memory = estimate_memory(model, info.component_parameters, dtype, device, placement=placement)
    return info.model_copy(update={"placement": placement, "memory_bytes": memory})


@lru_cache(maxsize=8)
def _weightless(name: str, folder: Path, newest: float) -> Model:
    """Make a folder's model without weights, kept like its description."""
    return make_weightless(name, folder)


def _newest(folder: Path) -> float:
    """When one of the files that a description is made from was last changed."""
    return max(path.stat().st_mtime for path in folder.iterdir() if path.is_file())


@lru_cache(maxsize=256)
def _described(name: str, folder: Path, newest: float, device: torch.device) -> ModelInfo:
    """Describe a folder as it was at `newest`, kept: the modules of a large model take a second."""
    config = read_config(folder)
    model = make_weightless(name, folder)
    components = component_parameters(model)
    dtype = compute_dtype(config, "auto", device)
    return ModelInfo(
        id=name,
        title=read_title(folder) or _title(name),
        path=str(folder),
        architecture=type(model.hf).__name__,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads,
        d_model=model.d_model,
        d_vocab=model.d_vocab,
        n_parameters=sum(p.numel() for p in model.hf.parameters()),
        component_parameters=components,
        dtype=str(config.get("dtype") or config.get("torch_dtype") or "float32"),
        tokenizer=read_tokenizer(folder),
        licence=read_licence(folder),
        note=read_note(folder),
        memory_bytes=estimate_memory(model, components, dtype, device),
        memory_bytes_8bit=estimate_memory_8bit(model, dtype, device),
    )


def _title(name: str) -> str:
    return "Bundled model" if name == DEMO else name
