"""Decide before loading where a model's blocks are kept: on which GPUs, in memory, on disk.

1. A model that the first device holds whole is loaded there as it is, without a hook.
2. Otherwise that device keeps everything outside the blocks, and the blocks fill it, then the other
   GPUs, then the CPU's memory, then the disk, in this order (accelerate's `infer_auto_device_map`,
   which also leaves room for the largest block that must be brought in).
3. What the first device has no room for even so is refused.

Every activation stays on the first device: a module whose weights are elsewhere computes where its
weights are (another GPU) or has them brought in (from memory or disk), and gives its result back.
So every method sees one device, whatever the placement; see `dispatch.py`.

Limits: `times_slower` is an upper bound from rough bandwidths, reached when prompts are few.
Memory is what is free when asked; another process may take it before the model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psutil
import torch
from transformers import PreTrainedModel

from worker.contract.errors import UserError
from worker.contract.menu import Placement
from worker.core.models.model import Model

SHARE = 0.9
"""Of the free memory that weights may take; the rest is for what is computed."""
BARE = 2**29
"""Bytes of a process without a model: torch and what it imports."""
_SPEED = {"cuda": 1500e9, "cpu": 20e9}
"""Bytes a second at which a device reads weights that it holds."""
_BRING = {"cuda": 25e9, "cpu": 12e9, "disk": 1e9}
"""Bytes a second at which weights come from another GPU (there: activations), memory or disk."""


def devices_of(setting: str) -> tuple[torch.device, ...]:
    """Read LETHE_DEVICE; the first device computes. Raises UserError for what is no such value."""
    if setting == "auto":
        setting = "cuda" if torch.cuda.is_available() else "cpu"
    names = [name.strip() for name in setting.split(",")]
    try:
        devices = [torch.device(name) for name in names]
    except RuntimeError:
        devices = []
    kinds = {device.type for device in devices}
    if len(kinds) != 1 or not kinds <= {"cpu", "cuda"} or len(set(devices)) != len(names):
        raise UserError(
            f"LETHE_DEVICE is {setting!r}; expected auto, cpu, cuda, one GPU as cuda:1, or several "
            f"as cuda:0,cuda:1.",
            field="device",
        )
    if kinds == {"cpu"}:
        return (torch.device("cpu"),)
    if any(device.index is None for device in devices):
        if len(devices) > 1:
            raise UserError(
                f"LETHE_DEVICE is {setting!r}; cuda alone means every GPU, so expected either cuda "
                f"or a list such as cuda:0,cuda:1.",
                field="device",
            )
        return tuple(torch.device("cuda", i) for i in range(max(1, torch.cuda.device_count())))
    return tuple(devices)


def measure_room(
    devices: Sequence[torch.device], bounds: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Measure how many bytes of weights each device may take, the CPU last.

    What this process holds itself counts as free: models that are held are dropped for a new one.
    `bounds` are an administrator's.
    """
    free = {str(d): _free_of(d) for d in devices if d.type == "cuda"}
    memory = psutil.virtual_memory()
    own = max(0, psutil.Process().memory_info().rss - BARE)
    free["cpu"] = min(memory.total, memory.available + own)
    room = {name: int(SHARE * n_bytes) for name, n_bytes in free.items()}
    return {name: min(n, (bounds or {}).get(name, n)) for name, n in room.items()}


def _free_of(device: torch.device) -> int:
    free: int = torch.cuda.mem_get_info(device)[0]
    return free + torch.cuda.memory_reserved(device)


def place(model: Model, dtype: torch.dtype, room: Mapping[str, int]) -> Placement | None:
    """Place a weightless model; None where the first device of `room` holds it whole.

    Raises UserError where the first device cannot even hold what is outside the blocks and one
    block at a time.
    """
    main = next(iter(room))
    sizes = block_bytes(model, dtype)
    outside = sum(p.numel() for p in model.hf.parameters()) * dtype.itemsize - sum(sizes)
    if outside + sum(sizes) <= room[main]:
        return None
    least = outside + (2 if main == "cpu" else 1) * max(sizes)
    if least > room[main]:
        raise UserError(
            f"{model.id!r} needs {(outside + sum(sizes)) / 1e9:.3g} GB for its weights alone, and "
            f"with its blocks kept elsewhere still {least / 1e9:.3g} GB at a time; the device "
            f"{main} has {room[main] / 1e9:.3g} GB for weights. Choose a smaller model, or a "
            f"worker with a larger device.",
            field="model",
        )
    blocks = _fill(model, dtype, room, outside)
    return Placement(main=main, blocks=blocks, times_slower=_slowdown(main, blocks, sizes, outside))


def placement_of(hf: PreTrainedModel) -> Placement | None:
    """Say where a loaded model's blocks are; None where one device holds the whole model."""
    found: Placement | None = getattr(hf, "placement", None)
    return found


def _fill(
    model: Model, dtype: torch.dtype, room: Mapping[str, int], outside: int
) -> tuple[str, ...]:
    """Give every block a device, by accelerate."""
    # Imported here because it takes a second, and most models fit.
    from accelerate import infer_auto_device_map

    main = next(iter(room))
    # By place instead of by index: accelerate fills GPUs in the order of their numbers.
    keys: dict[str, str | int] = {
        name: name if name == "cpu" else place for place, name in enumerate(room)
    }
    names = {key: name for name, key in keys.items()}
    bounds = {keys[name]: n - (outside if name == main else 0) for name, n in room.items()}
    found = infer_auto_device_map(
        model.blocks,
        max_memory=bounds,
        no_split_module_classes=sorted({type(block).__name__ for block in model.blocks}),
        dtype=dtype,
        clean_result=False,
    )
    return tuple(
        names.get(found[str(layer)], str(found[str(layer)])) for layer in range(model.n_layers)
    )


def block_bytes(model: Model, dtype: torch.dtype) -> list[int]:
    """Count every block's bytes of weights in a dtype."""
    return [dtype.itemsize * sum(p.numel() for p in b.parameters()) for b in model.blocks]


def _slowdown(main: str, blocks: Sequence[str], sizes: Sequence[int], outside: int) -> float:
    """Bound how much longer a forward takes that only reads weights."""
    own = _SPEED[torch.device(main).type]
    whole = (outside + sum(sizes)) / own
    more = sum(
        size / _BRING[device.partition(":")[0]]
        for device, size in zip(blocks, sizes, strict=True)
        if device != main
    )
    return round(1 + more / whole, 1)
