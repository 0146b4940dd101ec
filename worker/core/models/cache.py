"""Loaded models, kept while memory allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch

from worker.core.models.deltas import checksum
from worker.core.models.load import load_model
from worker.core.models.model import Model


class ModelCache:
    """Loads models by id and keeps the ones used last, up to `max_bytes` of weights."""

    def __init__(
        self,
        roots: Sequence[Path] = (),
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "auto",
        max_bytes: int = 8 * 2**30,
    ) -> None:
        self.roots, self.device, self.dtype, self.max_bytes = tuple(roots), device, dtype, max_bytes
        self._models: OrderedDict[str, Model] = OrderedDict()

    def get(self, id: str) -> Model:
        """Return the model, loaded if it is not held; drop others that memory has no room for."""
        if id not in self._models:
            model = load_model(id, device=self.device, dtype=self.dtype, roots=self.roots)
            model.weights_hash  # noqa: B018  (read now, before anything can change the weights)
            self._models[id] = model
        self._models.move_to_end(id)
        while len(self._models) > 1 and self.size > self.max_bytes:
            self._drop(next(iter(self._models)))
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

    def _drop(self, id: str) -> None:
        del self._models[id]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
