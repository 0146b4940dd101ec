"""Read and replace weights that are kept in the CPU's memory or on disk between forwards.

Such a parameter is on the meta device; its values are in the map of its module's hook. Writing to
the parameter itself would be lost without a word, so a replacement goes into that map, where it is
found before what is kept in memory or on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class NoValues(Exception):
    """A model that is known by its sizes alone was asked for values."""


def is_offloaded(parameter: Tensor) -> bool:
    """Whether a parameter's values are kept elsewhere."""
    return parameter.device.type == "meta"


def align_hook(module: nn.Module) -> Any:
    """The accelerate hook that places a module's weights, or None."""
    hook = getattr(module, "_hf_hook", None)
    parts = getattr(hook, "hooks", (hook,))
    return next((part for part in parts if hasattr(part, "execution_device")), None)


def bring(module: nn.Module, name: str) -> Tensor:
    """Bring one of a module's own offloaded weights to the device that computes."""
    hook = align_hook(module)
    value: Tensor = hook.weights_map[name]
    return value.to(hook.execution_device)


def read_value(hf: nn.Module, name: str, parameter: Tensor) -> Tensor:
    """Read a parameter's values, wherever they are kept; raise NoValues where they are nowhere."""
    if not is_offloaded(parameter):
        return parameter.detach()
    path, _, own = name.rpartition(".")
    hook = align_hook(hf.get_submodule(path))
    if hook is None:
        raise NoValues(f"{name} is on the meta device, and nothing says where it is kept")
    value: Tensor = hook.weights_map[own]
    return value.detach()


def replace_value(hf: nn.Module, name: str, value: Tensor) -> Callable[[], None]:
    """Put other values in an offloaded parameter's place; return what takes them away again."""
    path, _, own = name.rpartition(".")
    weights = align_hook(hf.get_submodule(path)).weights_map
    kept, key = weights.dataset.state_dict, f"{weights.prefix}{own}"
    had = kept.get(key)
    before = weights[own]
    kept[key] = value.detach().to(before.device, before.dtype)

    def take_away() -> None:
        if had is None:
            del kept[key]
        else:
            kept[key] = had

    return take_away


def weight_of(module: nn.Module) -> Tensor:
    """A projection's weight where activations are, wherever it is kept between forwards."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if is_offloaded(weight):
        return bring(module, "weight")
    home = getattr(align_hook(module), "home", None)
    return weight if home is None else weight.to(home)


def bytes_by_device(hf: nn.Module) -> dict[str, int]:
    """Count the bytes of a model's weights on each device, and under `disk` those on disk."""
    found: dict[str, int] = {}
    for name, parameter in hf.named_parameters():
        where = str(parameter.device)
        if is_offloaded(parameter):
            where = _kept_at(hf, name)
        n_bytes = parameter.numel() * parameter.element_size()
        found[where] = found.get(where, 0) + n_bytes
    return found


def _kept_at(hf: nn.Module, name: str) -> str:
    path, _, own = name.rpartition(".")
    hook = align_hook(hf.get_submodule(path))
    if hook is None:
        return str(torch.device("meta"))
    weights = hook.weights_map
    return "cpu" if f"{weights.prefix}{own}" in weights.dataset.state_dict else "disk"
