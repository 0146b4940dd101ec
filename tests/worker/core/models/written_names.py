"""`python -m tests.worker.core.models.written_names`: write module_names.json from the adapters."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.worker.core.models.families import CONFIGS
from worker.core.models.module_names import FILE, Named, asked_of_adapter


def weightless() -> list[PreTrainedModel]:
    """A model of every family's configuration, without values."""
    with torch.device("meta"):
        return [AutoModelForCausalLM.from_config(config) for config in CONFIGS.values()]


def written(names: Mapping[str, Named]) -> dict[str, Any]:
    """A model's names as the file has them."""
    return {key: _plain(dataclasses.asdict(part)) for key, part in names.items()}


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    below = {key: _plain(one) for key, one in part["submodules"].items()}
    return {"name": part["name"]} | ({"submodules": below} if below else {})


if __name__ == "__main__":
    found = {type(hf).__name__: written(asked_of_adapter(hf)) for hf in weightless()}
    FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
