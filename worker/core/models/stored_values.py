"""The weights as they lie in a model's files: their checksums, and whether they are numbers.

One pass reads every tensor, takes its SHA-256 and looks for NaN and infinity. What was found is
kept under the files' paths, sizes, inodes and times of change, so another load of the same files
reads them no second time for it. A file that was changed less than RECENT ago is not kept: two
changes within one tick of the file system's clock look alike.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from worker.core.finite import count_words, is_finite
from worker.core.models.digests import combine_digests, digest
from worker.core.models.offloaded import read_value
from worker.core.models.pieces import read_pieces
from worker.core.models.stored import read_headers, weight_files

RECENT = 2.0
"""Seconds."""
_TOLD = 20  # times that a reading tells how far it is
_KEPT = 64
_known: OrderedDict[tuple[object, ...], StoredValues] = OrderedDict()


@dataclass(frozen=True)
class StoredValues:
    """What the files of a model hold."""

    digests: dict[str, str]
    """Tensor's name in the files -> SHA-256 over its stored dtype, shape and bytes."""
    wrong: dict[str, str] = field(default_factory=dict)
    """Tensor's name -> how much of it is NaN or infinite, in words."""

    @property
    def hash(self) -> str:
        """SHA-256 over all tensors: the model's, in whatever dtype it is loaded."""
        return combine_digests(self.digests)


def read_values(folder: Path, tell: Callable[[str], None] = lambda words: None) -> StoredValues:
    """Read every tensor of a model folder once, or return what was read of the same files."""
    before = _signature(folder)
    if before in _known:
        _known.move_to_end(before)
        return _known[before]
    digests: dict[str, str] = {}
    wrong: dict[str, str] = {}
    n_tensors = len(read_headers(weight_files(folder)))
    for number, (name, value) in enumerate(_tensors(folder)):
        if number % max(1, n_tensors // _TOLD) == 0:
            tell(f"reading its checksum, {number} of {n_tensors} tensors")
        digests[name] = digest(value)
        if not is_finite(value):
            wrong[name] = count_words(value)
    found = StoredValues(digests, wrong)
    settled = all(time.time() - path.stat().st_mtime > RECENT for path in weight_files(folder))
    if settled and _signature(folder) == before:
        _known[before] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


def unchanged_names(folder: Path, hf: nn.Module) -> set[str]:
    """Name the loaded parameters whose bits are those of the stored tensor of the same name.

    Read a piece at a time: a mapping beside the one in which the weights lie would count the same
    pages twice, and copies of whole tensors would be memory that nobody was told of.
    """
    parameters = dict(hf.named_parameters())
    same = set()
    for name, dtype, shape, pieces in read_pieces(weight_files(folder), set(parameters)):
        parameter = parameters[name]
        if (dtype, shape) == (parameter.dtype, tuple(parameter.shape)):
            loaded = _bits(read_value(hf, name, parameter))
            if all(
                torch.equal(piece.to(loaded.device), loaded[start : start + len(piece)])
                for start, piece in pieces
            ):
                same.add(name)
    return same


def _bits(values: Tensor) -> Tensor:
    """Its bytes in a row."""
    return values.contiguous().reshape(-1).view(torch.uint8)


def _signature(folder: Path) -> tuple[object, ...]:
    found: list[object] = []
    for path in weight_files(folder):
        at = path.stat()
        found += [str(path.resolve()), at.st_size, at.st_ino, at.st_mtime_ns, at.st_ctime_ns]
    return tuple(found)


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)
