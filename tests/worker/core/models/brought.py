"""Small folders as users bring them, and ways in which they come damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.worker.core.models.families import make_model, make_tokenizer


def bring(folder: Path, family: str = "llama", **config: Any) -> Path:
    """Save a family's tiny model as a folder, with other values in its config.json."""
    made = make_model(family)
    made.hf.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return change_config(folder, **config)


def bring_config(folder: Path, config: hf.PretrainedConfig) -> Path:
    """Save a model of a configuration with random weights as a folder."""
    torch.manual_seed(0)
    made = hf.AutoModelForCausalLM.from_config(config)
    made.float().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def change_config(folder: Path, **values: Any) -> Path:
    """Write other values into config.json."""
    return _change_json(folder, "config.json", lambda made: made | values)


def change_tokenizer(folder: Path, change: Callable[[Any], Any]) -> Path:
    """Write another tokenizer.json."""
    return _change_json(folder, "tokenizer.json", change)


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """Write other tensors into model.safetensors."""
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path, metadata=metadata)
    return folder


def cut(path: Path, share: float = 0.5) -> None:
    """Keep the first bytes of a file, as a copy that broke off does."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def shard(folder: Path) -> Path:
    """Store a folder's weights in several files with a list of them."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {}
    for i in range(3):
        file = f"model-0000{i + 1}-of-00003.safetensors"
        mine = names[i::3]
        save_file({name: tensors[name] for name in mine}, folder / file, metadata={"format": "pt"})
        files |= dict.fromkeys(mine, file)
    index = {"metadata": {"total_size": 0}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _change_json(folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return folder
