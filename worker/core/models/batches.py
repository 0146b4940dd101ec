"""Batches that fit: halved when memory runs out, and the size that worked is remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch

from worker.core.models.model import Model

Item = TypeVar("Item")
PIECE_BYTES = 2**25
"""Of float32 logits that one backward pass may have where a batch can be cut: they and what their
loss keeps would else be most of a training step's memory."""
_fitted: WeakKeyDictionary[Model, dict[str, int]] = WeakKeyDictionary()
_scale: ContextVar[float] = ContextVar("batch_scale", default=1.0)


@contextmanager
def scaled(scale: float) -> Iterator[None]:
    """Make every batch inside this block `scale` times as large: a run whose process was killed
    for memory begins again with half of it."""
    token = _scale.set(scale)
    try:
        yield
    finally:
        _scale.reset(token)


def fitting(size: int) -> int:
    """Return the batch size to use where `size` is wanted."""
    return max(1, int(size * _scale.get()))


def in_batches(
    model: Model, purpose: str, items: Sequence[Item], size: int, run: Callable[[list[Item]], None]
) -> int:
    """Run `items` in batches of at most `size`; return the size that fitted.

    A batch that runs out of memory is run again at half its size, so `run` must not keep what a
    failed call began. The size is remembered per model and purpose. With one item left, the error
    is raised.
    """
    known = _fitted.setdefault(model, {})
    size = min(fitting(size), known.get(purpose, size))
    done = 0
    while done < len(items):
        try:
            run(list(items[done : done + size]))
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or size == 1:
                raise
            size = max(1, size // 2)
            known[purpose] = size
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        else:
            done += size
    return size


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_bytes(device: torch.device) -> int:
    """Memory that a batch may use: half of a GPU's free memory, or 1 GiB on a CPU."""
    free = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 2**30
    return int(free * _scale.get())
