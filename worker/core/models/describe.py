"""Describe a model from its configuration and its files' headers, without reading its weights.

Whatever a folder holds, describing it ends in a description: of the model, or of what is wrong
with the folder and the cure. One odd folder never hides the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from worker.contract.errors import UserError
from worker.contract.menu import ModelInfo
from worker.core.demo.paths import WEIGHTS
from worker.core.models.abilities import lacks
from worker.core.models.card import read_licence, read_note, read_title, read_tokenizer
from worker.core.models.components import component_parameters
from worker.core.models.folder import (
    Fingerprint,
    fingerprint,
    model_folders,
    model_id,
    read_config,
)
from worker.core.models.load import DEMO, compute_dtype
from worker.core.models.memory import estimate_memory, estimate_memory_8bit
from worker.core.models.placement import place
from worker.core.models.vocabulary import check_tokenizer
from worker.core.models.weightless import attention_of, make_weightless

MAX_WORDS = 2000
"""Characters of one text of a description; what is longer was not written to be read."""


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
    """Describe a model folder; a model that cannot be loaded says why in `problem`.

    Nothing that a folder holds raises, apart from what ends every process.
    """
    try:
        if _plain(name) != name:
            raise UserError(
                f"The folder's name {name!r} holds characters that cannot be shown or written; "
                f"rename it."
            )
        info = _described(name, folder, fingerprint(folder), torch.device(device))
        if room is not None:
            info = _placed(info, folder, torch.device(device), room)
        return info
    except UserError as error:
        problem = error.message
    except (KeyboardInterrupt, SystemExit):
        raise
    # A library may raise anything, a panic of Rust code too, for a file that it was not made for.
    except BaseException as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        problem = (
            f"{folder.name!r} cannot be understood ({type(error).__name__}: {reason}). Copy it "
            f"again from where the model came from, or save it anew with a current transformers."
        )
    return ModelInfo(
        id=_plain(name), title=_plain(_title(name)), path=_plain(folder), problem=_plain(problem)
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
    model = make_weightless(info.id, folder)
    try:
        placement = place(model, dtype, room)
    except UserError:
        return info
    memory = estimate_memory(model, info.component_parameters, dtype, device, placement=placement)
    return info.model_copy(update={"placement": placement, "memory_bytes": memory})


@lru_cache(maxsize=256)
def _described(name: str, folder: Path, state: Fingerprint, device: torch.device) -> ModelInfo:
    """Describe a folder as it was at `state`, kept: it takes a second for a large model."""
    config = read_config(folder)
    model = make_weightless(name, folder)
    notes = check_tokenizer(folder, model.n_rows)
    components = component_parameters(model)
    dtype = compute_dtype(config, "auto", device)
    return ModelInfo(
        id=name,
        title=_plain(read_title(folder) or _title(name)),
        path=_plain(folder),
        architecture=type(model.hf).__name__,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads,
        d_model=model.d_model,
        d_vocab=model.d_vocab,
        n_parameters=sum(p.numel() for p in model.hf.parameters()),
        component_parameters=components,
        dtype=_plain(config.get("dtype") or config.get("torch_dtype") or "float32"),
        tokenizer=_plain(read_tokenizer(folder)),
        licence=_plain(read_licence(folder)),
        note=_plain(read_note(folder)),
        memory_bytes=estimate_memory(model, components, dtype, device),
        memory_bytes_8bit=estimate_memory_8bit(model, dtype, device),
        lacks=lacks(model),
        notes=tuple(map(_plain, (*notes, *_attention_note(config, attention_of(model.hf.config))))),
    )


def _attention_note(config: Mapping[str, object], used: str) -> tuple[str, ...]:
    """Say so where another attention computes than the configuration asks for."""
    asked = config.get("_attn_implementation") or config.get("attn_implementation")
    if not asked or asked == used:
        return ()
    return (
        f"Its config.json asks for the attention {asked!r}; Lethe computes with {used!r}, which "
        f"gives the same up to rounding and needs nothing to be installed.",
    )


def _plain(text: object) -> str:
    """Make a text that every encoding and database takes, and a page shows."""
    whole = str(text).encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "�" for c in whole)[:MAX_WORDS]


def _title(name: str) -> str:
    return "Bundled model" if name == DEMO else name
