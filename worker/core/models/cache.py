"""Loaded models, kept while memory allows."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import torch

from worker.contract.errors import UserError
from worker.contract.menu import Placement
from worker.contract.spec import LoadIn
from worker.core.models.deltas import parameter_checksums
from worker.core.models.describe import describe_model
from worker.core.models.folder import read_config
from worker.core.models.load import Tell, compute_dtype, find_model, load_model
from worker.core.models.memory import estimate_memory
from worker.core.models.model import Model
from worker.core.models.offloaded import bytes_by_device
from worker.core.models.placement import devices_of, measure_room, placement_of
from worker.core.models.sizes import without_values
from worker.core.models.weightless import make_weightless

SHARE = 0.4
"""Of the device's memory that models may take when no bound is given: an edit needs several times
its model's weights, and a second process may hold models of its own."""


class ModelCache:
    """Loads models by id and keeps the ones used last, up to `max_bytes` of weights.

    `device` is a device or several, as LETHE_DEVICE names them; the first computes. `bounds` are
    the most bytes that models may take of a device.
    """

    def __init__(
        self,
        roots: Sequence[Path] = (),
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "auto",
        max_bytes: int | None = None,
        bounds: Mapping[str, int] | None = None,
    ) -> None:
        self.roots, self.dtype, self.bounds = tuple(roots), dtype, bounds
        self.devices = devices_of(str(device))
        self.device = self.devices[0]
        self.memory = memory_of(self.device)
        self.max_bytes = int(SHARE * self.memory) if max_bytes is None else max_bytes
        self._models: OrderedDict[str, Model] = OrderedDict()

    def get(
        self,
        id: str,
        tell: Tell = lambda words: None,
        load_in: LoadIn | None = None,
        dtype: str = "auto",
    ) -> Model:
        """Return the model, loaded if it is not held; `tell` is given words while it loads.

        `dtype` "auto" leaves it to the cache; see `load_model`.

        Others are dropped first, the one used longest ago before the rest, so that the bound holds
        while it loads; a model that is larger than the bound is held alone, and one that is larger
        than its device has blocks elsewhere. Raises UserError where that does not help.
        """
        key = self._key(id, load_in, dtype)
        if key not in self._models:
            room = self._make_room(id, load_in, dtype)
            model = load_model(
                id,
                device=self.device,
                dtype=self._chosen(dtype),
                roots=self.roots,
                tell=tell,
                room=room,
                load_in=load_in,
            )
            tell(f"loading model {model.id}: reading its checksum")
            model.digests  # noqa: B018  (read now, before anything can change the weights)
            self._models[key] = model
            while len(self._models) > 1 and self.size > self.max_bytes:
                self._drop(next(iter(self._models)))
        self._models.move_to_end(key)
        return self._models[key]

    def sizes(
        self,
        id: str,
        load_in: LoadIn | None = None,
        dtype: str = "auto",
        told: Mapping[str, str] | None = None,
    ) -> Model:
        """Give the model if it is held, else one of the same sizes and tokenizer without values.

        Nothing is read but the configuration, the files' headers and the tokenizer; its device
        and dtype are those in which it would be loaded. `told` are hashes of the weights of models
        that another process holds.
        """
        key = self._key(id, load_in, dtype)
        held = self._models.get(key)
        if held is not None:
            return held
        folder = find_model(id, self.roots)
        chosen = compute_dtype(read_config(folder), self._chosen(dtype), self.device)
        found = without_values(id, folder, self.device, chosen)
        found.told_hash = (told or {}).get(key, "")
        return found

    def verify(
        self, id: str, load_in: LoadIn | None = None, dtype: str = "auto", full: bool = False
    ) -> bool:
        """Compare a held model's checksums with those at its loading; drop it if they differ.

        `full` hashes also the parameters that by torch's counts cannot have changed.
        """
        key = self._key(id, load_in, dtype)
        model = self._models.get(key)
        if model is None or parameter_checksums(model, full) == model.digests:
            return True
        self._drop(key)
        return False

    @property
    def size(self) -> int:
        """Bytes of weights held in memory, on any device."""
        return sum(map(_size, self._models.values()))

    def size_of(self, id: str, load_in: LoadIn | None = None, dtype: str = "auto") -> int:
        """Bytes of a model's weights that are held in memory; 0 where it is not held."""
        model = self._models.get(self._key(id, load_in, dtype))
        return 0 if model is None else _size(model)

    @property
    def held(self) -> tuple[str, ...]:
        """Ids of the held models, the one used last at the end."""
        return tuple(self._models)

    @property
    def weights(self) -> dict[str, str]:
        """Held model's id -> hash of its weights."""
        return {key: model.weights_hash for key, model in self._models.items()}

    @property
    def placements(self) -> dict[str, Placement | None]:
        """Held model's id -> where its blocks are, None where one device holds them all."""
        return {key: placement_of(model.hf) for key, model in self._models.items()}

    def measure_room(self) -> dict[str, int]:
        """Measure how many bytes of weights each device may take, the one that computes first."""
        room = measure_room(self.devices, self.bounds)
        main = str(self.device)
        return {main: min(room[main], self.memory)} | {k: n for k, n in room.items() if k != main}

    def clear(self) -> None:
        """Drop every model."""
        for id in list(self._models):
            self._drop(id)

    def _chosen(self, dtype: str) -> str | torch.dtype:
        return self.dtype if dtype == "auto" else dtype

    def _key(self, id: str, load_in: LoadIn | None, dtype: str) -> str:
        """Name a loaded model: its id, with how it is loaded where that is not the usual way."""
        if load_in is not None:
            id = f"{id} in {load_in}"
        if dtype == "auto":
            return id
        config = read_config(find_model(id.removesuffix(f" in {load_in}"), self.roots))
        usual, asked = (compute_dtype(config, one, self.device) for one in (self.dtype, dtype))
        return id if asked == usual else f"{id} in {dtype}"

    def _make_room(self, id: str, load_in: LoadIn | None, dtype: str) -> dict[str, int] | None:
        """Drop what a model leaves no room for; return the devices' room if it must be spread."""
        needed, room = self._needed(id, load_in, dtype), self.measure_room()
        most = room[str(self.device)]
        if needed > most and load_in is not None:
            raise UserError(
                f"{id!r} needs {needed / 1e9:.3g} GB for its weights alone, also in 8 bits; the "
                f"device {self.device} has {most / 1e9:.3g} GB for weights. Choose a smaller "
                f"model, a worker with a larger device, or the weights as stored, of which blocks "
                f"may be kept elsewhere.",
                field="load_in",
            )
        if needed > most:
            self.clear()
            return self.measure_room()
        while self._models and self.size + needed > min(self.max_bytes, most):
            self._drop(next(iter(self._models)))
        return None

    def _needed(self, id: str, load_in: LoadIn | None, dtype: str) -> int:
        """Bytes of a model's weights on the device, loaded so; 0 where they cannot be told."""
        folder = find_model(id, self.roots)
        info = describe_model(id, folder, self.device)
        if load_in is not None:
            return info.memory_bytes_8bit.get("load", 0)
        if dtype == "auto" or info.problem:
            return info.memory_bytes.get("load", 0)
        chosen = compute_dtype(read_config(folder), dtype, self.device)
        return estimate_memory(make_weightless(id, folder), {}, chosen, self.device)["load"]

    def _drop(self, id: str) -> None:
        del self._models[id]
        # Modules and hooks refer to each other: without this the weights stay until the next
        # collection, which nothing on the device's side brings about.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _size(model: Model) -> int:
    """Bytes of a model's weights in memory, on any device."""
    return sum(n for device, n in bytes_by_device(model.hf).items() if device != "disk")


def memory_of(device: torch.device) -> int:
    """Bytes of memory of a device: a GPU's own, else the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return int(psutil.virtual_memory().total)
