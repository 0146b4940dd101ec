"""Read safetensors files piece by piece, into one buffer, whatever the tensors' sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

PIECE = 4 * 2**20
"""Bytes."""
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip

Pieces = Iterator[tuple[int, Tensor]]
"""Where a piece begins, and its bytes, in memory that the next piece overwrites."""


def read_pieces(
    files: Sequence[Path], names: set[str]
) -> Iterator[tuple[str, torch.dtype, tuple[int, ...], Pieces]]:
    """Give name, dtype, shape and pieces of every tensor of `names`, in the files' order.

    The files are ones whose headers were read before; a tensor of a dtype that no parameter has is
    left out.
    """
    buffer = bytearray(PIECE)
    for path in files:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
            for name in sorted(entries.keys() & names):
                entry = entries[name]
                start, stop = entry["data_offsets"]
                if dtype := _DTYPES.get(entry["dtype"]):
                    pieces = _pieces(file, 8 + length + start, stop - start, buffer)
                    yield name, dtype, tuple(entry["shape"]), pieces


def _pieces(file: BinaryIO, start: int, n_bytes: int, buffer: bytearray) -> Pieces:
    """Read `n_bytes` from `start` on."""
    for at in range(0, n_bytes, PIECE):
        view = memoryview(buffer)[: min(PIECE, n_bytes - at)]
        file.seek(start + at)
        if file.readinto(view) != len(view):  # type: ignore[attr-defined]
            raise OSError(f"{file.name} ends before its last tensor; copy it again")
        yield at, torch.frombuffer(view, dtype=torch.uint8)
