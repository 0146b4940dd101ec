"""Loaded models, kept while memory allows."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from worker.contract.errors import UserError
from worker.core.models.deltas import checksum
from worker.core.models.describe import describe_model
from worker.core.models.load import Tell, find_model, load_model
from worker.core.models.model import Model

SHARE = 0.4
"""Of the device's memory that models may take when no bound is given: an edit needs several times
its model's weights, and a second process may hold models of its own."""


class ModelCache:
    """Loads models by id and keeps the ones used last, up to `max_bytes` of weights."""

    def __init__(
        self,
        roots: Sequence[Path] = (),
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "auto",
        max_bytes: int | None = None,
    ) -> None:
        self.roots, self.device, self.dtype = tuple(roots), device, dtype
        self.memory = memory_of(torch.device(device))
        self.max_bytes = int(SHARE * self.memory) if max_bytes is None else max_bytes
        self._models: OrderedDict[str, Model] = OrderedDict()

    def get(self, id: str, tell: Tell = lambda words: None) -> Model:
        """Return the model, loaded if it is not held; `tell` is given words while it loads.

        Others are dropped first, the one used longest ago before the rest, so that the bound holds
        while it loads; a model that is larger than the bound is held alone. Raises UserError for
        one that the device has too little memory for.
        """
        if id not in self._models:
            self._make_room(id)
            model = load_model(
                id, device=self.device, dtype=self.dtype, roots=self.roots, tell=tell
            )
            tell(f"loading model {model.id}: reading its checksum")
            model.weights_hash  # noqa: B018  (read now, before anything can change the weights)
            self._models[id] = model
            while len(self._models) > 1 and self.size > self.max_bytes:
                self._drop(next(iter(self._models)))
        self._models.move_to_end(id)
        return self._models[id]

    def verify(self, id: str) -> bool:
        """Compare a held model's checksum with the one at its loading; drop it if they differ."""
        model = self._models.get(id)
        if model is None or checksum(model) == model.weights_hash:
            return True
        self._drop(id)
        return False

    @property
    def size(self) -> int:
        """Bytes of weights held."""
        return sum(
            p.numel() * p.element_size() for m in self._models.values() for p in m.hf.parameters()
        )

    @property
    def held(self) -> tuple[str, ...]:
        """Ids of the held models, the one used last at the end."""
        return tuple(self._models)

    def hash_of(self, id: str) -> str:
        """Hash of a held model's base weights; "" if it is not held."""
        return self._models[id].weights_hash if id in self._models else ""

    def clear(self) -> None:
        """Drop every model."""
        for id in list(self._models):
            self._drop(id)

    def _make_room(self, id: str) -> None:
        """Drop what the estimate of a model's weights leaves no room for."""
        info = describe_model(id, find_model(id, self.roots), self.device)
        needed = info.memory_bytes.get("load", 0)
        if needed > self.memory:
            raise UserError(
                f"{id!r} needs {needed / 1e9:.3g} GB for its weights alone; the device "
                f"{self.device} has {self.memory / 1e9:.3g} GB. Choose a smaller model, or a "
                f"worker with a larger device.",
                field="model",
            )
        while self._models and self.size + needed > self.max_bytes:
            self._drop(next(iter(self._models)))

    def _drop(self, id: str) -> None:
        del self._models[id]
        # Modules and hooks refer to each other: without this the weights stay until the next
        # collection, which nothing on the device's side brings about.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def memory_of(device: torch.device) -> int:
    """Bytes of memory of a device: a GPU's own, else the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return int(psutil.virtual_memory().total)
