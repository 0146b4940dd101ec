"""What a folder holds before anything of it is loaded: a model, a part of one, or another format.

Every refusal says what was found and the way in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from worker.contract.errors import UserError
from worker.core.models.stored import INDEX, WHOLE, few, weight_files

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
MAX_CONFIG = 16 * 2**20
"""Bytes of a configuration; the largest public ones have a few hundred kilobytes."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_MAX_DEPTH = 4  # a hub cache lies three folders deep: models--org--name/snapshots/revision
Fingerprint = tuple[tuple[str, int, int], ...]


def model_folders(roots: Sequence[Path]) -> list[Path]:
    """Find the folders under the roots that hold a model, or something that was meant as one.

    Below a folder with a configuration nothing is looked for. A folder with only a GGUF, only an
    adapter or only safetensors is found too, so that it can be said what it is.
    """
    found: dict[Path, Path] = {}
    for root in roots:
        for here, below, files in os.walk(root):
            depth = len(Path(here).relative_to(root).parts)
            whole = CONFIG in files or ADAPTER_CONFIG in files
            if whole or any(name.endswith((".gguf", ".safetensors")) for name in files):
                found.setdefault(Path(here).resolve(), Path(here))
            if whole or depth >= _MAX_DEPTH:
                below.clear()
            below[:] = sorted(name for name in below if not name.startswith("."))
    return list(found.values())


def model_id(folder: Path, roots: Sequence[Path]) -> str:
    """Name a model folder by its path under its root; a hub cache's folder by its hub name."""
    for root in roots:
        if folder.resolve().is_relative_to(root.resolve()):
            parts = folder.resolve().relative_to(root.resolve()).parts or (folder.name,)
            hub = [part for part in parts if part.startswith("models--")]
            return hub[0][len("models--") :].replace("--", "/") if hub else "/".join(parts)
    return folder.name


def fingerprint(folder: Path) -> Fingerprint:
    """Name, size and time of change of every file: what a description is made from."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            state = path.stat()
        except OSError:  # a link to nowhere
            state = path.lstat()
        found.append((path.name, state.st_size, state.st_mtime_ns))
    return tuple(found)


def look(roots: Sequence[Path]) -> tuple[tuple[str, Fingerprint], ...]:
    """Give every model folder's path with its fingerprint: another value wherever a folder came,
    went, or would be described anew."""
    found: list[tuple[str, Fingerprint]] = []
    for folder in model_folders(roots):
        try:
            found.append((str(folder), fingerprint(folder)))
        except OSError:  # it went meanwhile, or may not be read
            found.append((str(folder), ()))
    return tuple(found)


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model folder's config.json."""
    path = folder / CONFIG
    if not path.is_file():
        _refuse_without_config(folder)
    try:
        size = path.stat().st_size
        if size > MAX_CONFIG:
            raise ValueError(f"{size:,} bytes are no configuration")
        config = json.loads(path.read_text(encoding="utf-8"), parse_constant=_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{folder.name!r}: config.json cannot be read ({error}); expected a Hugging Face "
            f"model's configuration. Copy it again from where the model came from, or save the "
            f"model with save_pretrained().",
            field="model",
        ) from None
    if not isinstance(config, dict):
        raise UserError(
            f"{folder.name!r}: config.json holds no JSON object but "
            f"{type(config).__name__}; expected a Hugging Face model's configuration. Copy it "
            f"again from where the model came from.",
            field="model",
        )
    return config


def check_loadable(folder: Path, config: Mapping[str, Any]) -> list[Path]:
    """List a folder's weight files; raise UserError for what Lethe does not read.

    That are pickles, models that bring their own code, adapters, GGUF, quantized and distributed
    checkpoints, and folders with parts missing.
    """
    _refuse_own_code(folder, config)
    _refuse_adapter_beside(folder)
    _refuse_quantized(folder, config)
    _refuse_odd_generation(folder)
    if name := config.get("transformers_weights"):
        raise UserError(
            f"{folder.name!r}: config.json names its weights in 'transformers_weights' ({name!r}); "
            f"expected them in {WHOLE}, or in shards with {INDEX}. Rename the file, and take the "
            f"entry out.",
            field="model",
        )
    files = weight_files(folder)
    if not files:
        _refuse_without_weights(folder)
    return files


def read_object(path: Path, max_bytes: int = MAX_CONFIG) -> dict[str, Any]:
    """Read a JSON object; empty where there is none, or none of a size that can be meant."""
    try:
        if not path.is_file() or path.stat().st_size > max_bytes:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _constant(name: str) -> float:
    """Take an infinity, which some architectures use as a bound; refuse what is no number."""
    if name == "NaN":
        raise ValueError("it holds NaN, which is no number")
    return float(name)


def _refuse_without_config(folder: Path) -> NoReturn:
    """Say what a folder without a configuration is."""
    if (folder / ADAPTER_CONFIG).exists():
        raise UserError(
            f"{folder.name!r} is {_adapter_words(folder)}, no model of its own. Merge it into the "
            f"model that it was trained on: `lethe model add {folder} --onto MODEL`.",
            field="model",
        )
    if ggufs := _named(folder, ".gguf"):
        _refuse_gguf(folder, ggufs, "no config.json")
    if weights := _named(folder, ".safetensors"):
        raise UserError(
            f"{folder.name!r} has weights ({few(weights)}) and no config.json; expected the "
            f"model's configuration beside them. Copy config.json and the tokenizer's files from "
            f"where the model came from.",
            field="model",
        )
    raise UserError(
        f"{str(folder)!r} has no config.json; expected a Hugging Face model folder. Save the model "
        f"with save_pretrained().",
        field="model",
    )


def _refuse_without_weights(folder: Path) -> NoReturn:
    """Say what a folder with a configuration holds in the place of safetensors."""
    if ggufs := _named(folder, ".gguf"):
        _refuse_gguf(folder, ggufs, f"no {WHOLE}")
    if odd := [name for name in (WHOLE, INDEX) if (folder / name).is_symlink()]:
        raise UserError(
            f"{folder.name!r}: {odd[0]} is a link to {str((folder / odd[0]).readlink())!r}, where "
            f"no file is. Fetch the model again, or copy the file there.",
            field="model",
        )
    if odd := [name for name in (WHOLE, INDEX) if (folder / name).exists()]:
        raise UserError(
            f"{folder.name!r}: {odd[0]} is no file (a folder, or a device); expected the model's "
            f"weights. Copy it again from where the model came from.",
            field="model",
        )
    if found := _named(folder, ".safetensors"):
        raise UserError(
            f"{folder.name!r} has {few(found)}, but neither {WHOLE} nor {INDEX}, which says what "
            f"is in which file. Copy the missing one; a single file of another name is renamed to "
            f"{WHOLE}.",
            field="model",
        )
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if not pickles:
        raise UserError(
            f"{folder.name!r} has no weights; expected {WHOLE}, or shards with {INDEX}. Copy the "
            f"folder again, whole.",
            field="model",
        )
    raise UserError(
        f"{folder.name!r} has only {few(pickles)}; expected *.safetensors, because a pickle can "
        f"run code when it is read. If you trust it, convert it yourself: "
        f'python -c "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; '
        f"M.from_pretrained('{folder}').save_pretrained('{folder}-safetensors'); "
        f"T.from_pretrained('{folder}').save_pretrained('{folder}-safetensors')\"",
        field="model",
    )


def _refuse_gguf(folder: Path, ggufs: Sequence[str], lacks: str) -> NoReturn:
    raise UserError(
        f"{folder.name!r} holds a GGUF ({few(ggufs)}) and {lacks}: a model as llama.cpp reads it. "
        f"Bring it in with its weights made whole: `lethe model add {folder / ggufs[0]}`.",
        field="model",
    )


def _refuse_own_code(folder: Path, config: Mapping[str, Any]) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = str(config.get("model_type", ""))
    if kind not in CONFIG_MAPPING:
        raise UserError(
            f"{folder.name!r} is of type {kind!r}, which transformers does not know"
            + (" without running code from its folder" if "auto_map" in config else "")
            + "; Lethe runs no code that comes with a model. Choose a model of a built-in type.",
            field="model",
        )


def _refuse_adapter_beside(folder: Path) -> None:
    """Refuse an adapter in a model's folder, which transformers would put on unasked."""
    if not (folder / ADAPTER_CONFIG).exists():
        return
    parts = [ADAPTER_CONFIG, *sorted(path.name for path in folder.glob("adapter_model.*"))]
    raise UserError(
        f"{folder.name!r} holds a model and beside it {_adapter_words(folder)}, and it cannot be "
        f"known which is meant. Move {few(parts)} into a folder of their own: then this one is the "
        f"model without the adapter, and `lethe model add THAT_FOLDER --onto {folder.name}` makes "
        f"the one with it.",
        field="model",
    )


def _refuse_quantized(folder: Path, config: Mapping[str, Any]) -> None:
    text = config.get("text_config")
    found = config.get("quantization_config") or (
        text.get("quantization_config") if isinstance(text, dict) else None
    )
    if not found and not (folder / "quantize_config.json").exists():
        return
    settings = found if isinstance(found, dict) else {}
    method = settings.get("quant_method") or settings.get("quant_algo") or "quantized"
    bits = settings.get("bits") or settings.get("w_bit")
    raise UserError(
        f"{folder.name!r} is stored quantized ({method}{f', {bits} bits' if bits else ''}); "
        f"expected plain weights in float32, bfloat16 or float16, because Lethe edits them one by "
        f"one. Take the model that it was made from.",
        field="model",
    )


def _refuse_odd_generation(folder: Path) -> None:
    """Refuse a generation_config.json that is JSON and no object; other odd ones are left out."""
    path = folder / "generation_config.json"
    try:
        found = json.loads(path.read_bytes()[: MAX_CONFIG + 1]) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(found, dict):
        raise UserError(
            f"{folder.name!r}: generation_config.json holds no JSON object but "
            f"{type(found).__name__}; take it out of the folder, or copy it again.",
            field="model",
        )


def _adapter_words(folder: Path) -> str:
    """Name an adapter by its kind and by the model that it was trained on, where it says so."""
    said = read_object(folder / ADAPTER_CONFIG)
    kind, base = str(said.get("peft_type") or ""), said.get("base_model_name_or_path")
    kinds = {"LORA": "a LoRA adapter", "": "an adapter"}
    return kinds.get(kind, f"an adapter ({kind})") + (f" for {str(base)!r}" if base else "")


def _named(folder: Path, ending: str) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(ending))
