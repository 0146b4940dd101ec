"""Load a model with its blocks on several devices, and make every device look like the first.

1. transformers puts every block where the device map says, reading one tensor at a time; blocks on
   disk stay in the model's own safetensors, and only what must be converted is written to a
   temporary folder, which goes when the model goes.
2. accelerate's hooks move inputs to a module's weights, or bring weights in for the module's
   forward and drop them after it.
3. Its hooks are set so that only modules with weights of their own compute elsewhere, and give
   their outputs back to the device that the inputs came from: activations, keys, values and
   residuals are all on the first device, where every method expects them.
4. What a forward keeps for its backward is not the weights that were brought in but where they can
   be had again, so that gradients hold no more than one module's weights.

Limits: an activation crosses between GPUs twice for every matrix that is on another, which is slow
beside a pipeline of whole blocks but changes no method; trained weights must be on the first
device (`worker/core/ahead/placed.py`).
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from worker.contract.menu import Placement
from worker.core.models.layout import read_layout
from worker.core.models.offloaded import align_hook, bring, is_offloaded

Read = Callable[..., PreTrainedModel]
"""Reads the model with the given keywords of `from_pretrained`."""
DeviceMap = dict[str, "str | torch.device"]


def read_placed(weightless: PreTrainedModel, placement: Placement, read: Read) -> PreTrainedModel:
    """Read a model by `read`, with its blocks where the placement says."""
    device_map = map_devices(weightless, placement)
    folder = tempfile.mkdtemp(prefix="lethe-offload-")
    try:
        hf = read(device_map=device_map, offload_folder=folder)
        spread(hf, device_map, placement.main)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not any(Path(folder).iterdir()):
        # Nothing was converted: a process that is killed then leaves nothing behind.
        Path(folder).rmdir()
    # Whatever still holds the model holds the folder; it also goes when the process ends.
    weakref.finalize(hf, shutil.rmtree, folder, ignore_errors=True)
    # On the instance itself: a module takes its attributes for tensors and modules.
    vars(hf).update(placement=placement, offload_folder=Path(folder))
    return hf


def map_devices(weightless: PreTrainedModel, placement: Placement) -> DeviceMap:
    """Name every block's device, and the first device for each module outside the blocks."""
    blocks = read_layout(weightless).blocks
    found: DeviceMap = dict.fromkeys(_outside(weightless, blocks.split(".")), placement.main)
    return found | {f"{blocks}.{i}": device for i, device in enumerate(placement.blocks)}


def _outside(module: nn.Module, path: Sequence[str], prefix: str = "") -> Iterator[str]:
    """Name the modules and parameters beside the path to the blocks."""
    for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        yield f"{prefix}{name}"
    for name, child in module.named_children():
        if name != path[0]:
            yield f"{prefix}{name}"
        elif len(path) > 1:
            yield from _outside(child, path[1:], f"{prefix}{name}.")


def spread(hf: PreTrainedModel, device_map: DeviceMap, main: str | torch.device) -> None:
    """Attach accelerate's hooks for a device map, as this file's head describes."""
    from accelerate import dispatch_model
    from accelerate.hooks import remove_hook_from_submodules

    index = _index_of(hf)
    # transformers has dispatched already, but takes any of several GPUs as the first.
    remove_hook_from_submodules(hf)
    skipped = hf._skip_keys_device_placement
    dispatch_model(hf, device_map, main_device=main, offload_index=index, skip_keys=skipped)
    for module in hf.modules():
        hook = align_hook(module)
        if hook is None:
            continue
        if next(module.parameters(recurse=False), None) is None:
            hook.execution_device = main
        elif hook.offload:
            module.__dict__["forward"] = _lending(module, module.forward)
        elif torch.device(hook.execution_device) != torch.device(main):
            hook.io_same_device, hook.home = True, torch.device(main)


def _index_of(hf: PreTrainedModel) -> dict[str, Any] | None:
    """Find which file holds each weight that is on disk; None where there is none."""
    for module in hf.modules():
        hook = align_hook(module)
        loader = getattr(getattr(hook, "weights_map", None), "dataset", None)
        if loader is not None and loader.index:
            return dict(loader.index)
    return None


def _lending(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """Make a forward whose graph refers to its weights instead of holding them."""

    def pack(tensor: Tensor) -> object:
        for name, weight in module.named_parameters(recurse=False):
            if not is_offloaded(weight) and _same_storage(weight, tensor):
                return name, tensor.size(), tensor.stride(), tensor.storage_offset()
        return tensor

    def unpack(kept: Any) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        name, *view = kept
        return bring(module, name).as_strided(*view)

    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            return forward(*args, **kwargs)

    return run


def _same_storage(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
