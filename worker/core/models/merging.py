"""Merge an adapter into the model that it was trained on, as a model of its own.

1. The base is loaded in float32, and the adapter put on by peft.
2. Every tensor of the adapter's file must have its place in the base, and every place its tensor.
3. Its products are added to the base's weights, which are saved in the base's stored dtype.
4. The card names adapter and base by their hashes; every result on the model repeats it.

The tokenizer is the base's. Adapters that add no weights (prompts, prefixes) cannot be merged.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from worker.contract.errors import UserError
from worker.contract.menu import ModelInfo
from worker.core.models.adding import check_name
from worker.core.models.card import read_licence
from worker.core.models.folder import ADAPTER_CONFIG, read_config, read_object
from worker.core.models.load import compute_dtype, load_model
from worker.core.models.making import Tell, alone, check_room, move, silent, write_card
from worker.core.models.model import Model
from worker.core.models.stored import few

WEIGHTS = "adapter_model.safetensors"


def add_adapter(
    folder: Path,
    onto: str,
    root: Path,
    roots: tuple[Path, ...] = (),
    name: str = "",
    tell: Tell = silent,
) -> ModelInfo:
    """Merge the adapter in `folder` onto the model `onto` into a model under `root`; describe it.

    `onto` is a model's name under one of `roots`, or a model folder. Raises UserError for a folder
    without an adapter, and for an adapter that does not fit the model.
    """
    _refuse_no_adapter(folder)
    name = name or f"{folder.resolve().name}-merged"
    with alone(root, name) as work:
        check_name(name, root)
        tell(0.0, f"loading {onto}")
        base = _load_base(onto, roots)
        check_room(root, sum(p.numel() * 4 for p in base.hf.parameters()))
        note = _note(folder, base)
        stored = compute_dtype(read_config(_path(base)), "auto", torch.device("meta"))
        tell(0.4, "merging the adapter")
        with _in_words(folder, base):
            merged = _merge(folder, base)
        made = work / "made"
        tell(0.7, "writing the merged weights")
        merged.to(stored).save_pretrained(made)
        base.tokenizer.save_pretrained(made)
        lines = [
            f"- base: `{base.id}`, weights `{base.weights_hash}`",
            f"- adapter: `{folder.resolve().name}`, SHA-256 of `{WEIGHTS}` `{_digest(folder)}`",
        ]
        write_card(made, f"{base.id} with {folder.resolve().name}", read_licence(_path(base)),
                   lines, note)  # fmt: skip
        return move(made, root / name, name)


def _load_base(onto: str, roots: tuple[Path, ...]) -> Model:
    if Path(onto).is_dir():
        folder = Path(onto).resolve()
        return load_model(str(folder), dtype=torch.float32, roots=[*roots, folder.parent])
    return load_model(onto, dtype=torch.float32, roots=roots)


def _merge(folder: Path, base: Model) -> Any:
    """Put the adapter on and add its products to the weights."""
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    config = PeftConfig.from_pretrained(str(folder))
    config.auto_mapping = None  # names a library to import
    base.weights_hash  # noqa: B018  (of the base, before anything is added)
    wrapped = PeftModel.from_pretrained(base.hf, str(folder), config=config)
    if not hasattr(wrapped.base_model, "merge_and_unload"):
        raise UserError(
            f"{folder.name!r} is an adapter of kind {config.peft_type}, which adds no weights that "
            f"could be merged; expected LoRA or another that does.",
            field="path",
        )
    given, placed = load_file(folder / WEIGHTS), get_peft_model_state_dict(wrapped)
    stray, bare = sorted(set(given) - set(placed)), sorted(set(placed) - set(given))
    if stray or bare:
        words = f"has no place for {few(stray)}" if stray else f"asks for {few(bare)} too"
        raise UserError(
            f"{folder.name!r} does not fit {base.id!r}, which {words}. Name the model that it was "
            f"trained on{_trained_on(folder)}.",
            field="onto",
        )
    return wrapped.merge_and_unload(safe_merge=True)


@contextmanager
def _in_words(folder: Path, base: Model) -> Iterator[None]:
    """Turn what peft raises of an adapter that is damaged, or of another model, into words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of missing tensors, which are refused by name
            yield
    except (ValueError, TypeError, KeyError, RuntimeError, OSError, SafetensorError) as error:
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise
        raise UserError(
            f"{folder.name!r} cannot be put on {base.id!r}: {' '.join(str(error).split())[:300]}. "
            f"Name the model that it was trained on{_trained_on(folder)}, or copy the adapter "
            f"again.",
            field="onto",
        ) from error


def _refuse_no_adapter(folder: Path) -> None:
    if (folder / ADAPTER_CONFIG).is_file() and (folder / WEIGHTS).is_file():
        return
    raise UserError(
        f"{str(folder)!r} holds no adapter; expected {ADAPTER_CONFIG} and {WEIGHTS} (a pickle can "
        f"run code when it is read). Save it with save_pretrained(), or leave --onto out.",
        field="path",
    )


def _note(folder: Path, base: Model) -> str:
    """Say what the weights were made of, in one sentence that goes with every result."""
    kind = str(read_object(folder / ADAPTER_CONFIG).get("peft_type") or "")
    return (
        f"Merged from the {kind} adapter {folder.resolve().name!r} (SHA-256 {_digest(folder)[:16]})"
        f" and {base.id!r} (weights {base.weights_hash[:16]})."
    )


def _trained_on(folder: Path) -> str:
    base = read_object(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    return f" (it names {str(base)!r})" if base else ""


def _digest(folder: Path) -> str:
    with (folder / WEIGHTS).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _path(base: Model) -> Path:
    assert base.path is not None, "a loaded model has a folder"
    return base.path
