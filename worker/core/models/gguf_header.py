"""Read what a GGUF file says before its weights: settings, and where each tensor lies.

The layout is the GGUF specification's, versions 2 and 3, little-endian. No length in the file is
trusted: what would lie beyond its end is said, before anything is allocated for it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4


class Damaged(Exception):
    """The file does not hold what it says; the message says what."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of the file."""

    name: str
    n_values: int
    kind: str
    """How its values are stored: `F32`, `Q4_1` …"""
    start: int
    """In bytes from the file's begin."""
    n_bytes: int


@dataclass(frozen=True)
class Header:
    """A GGUF file's settings and its tensors' places."""

    settings: dict[str, Any]
    """Arrays of texts, which are long, are left as their lengths."""
    tensors: tuple[StoredTensor, ...]

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    @property
    def n_values(self) -> int:
        return sum(tensor.n_values for tensor in self.tensors)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Ways in which values are stored, the one with the most values first."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.kind] = sizes.get(tensor.kind, 0) + tensor.n_values
        return tuple(sorted(sizes, key=lambda kind: -sizes[kind]))

    def text(self, key: str) -> str:
        """A setting that is a text; empty where there is none."""
        value = self.settings.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str, default: float = 0) -> float:
        """A setting that is a number."""
        value = self.settings.get(key)
        return value if isinstance(value, int | float) else default

    def values(self, file: Path, name: str) -> np.ndarray:
        """A tensor of `file` that is stored as float32, flat; raise Damaged for any other."""
        tensor = next(tensor for tensor in self.tensors if tensor.name == name)
        if tensor.kind != "F32":
            raise Damaged(f"its tensor {name!r} is stored as {tensor.kind}; expected F32")
        return np.fromfile(file, "<f4", tensor.n_values, offset=tensor.start)


def parse_header(file: Path) -> Header:
    """Read a GGUF file's head; raise Damaged for one that is not whole, OSError as it comes."""
    with _mapped(file) as data:
        if data[: len(MAGIC)] != MAGIC:
            raise Damaged("it does not begin with the letters GGUF")
        reader = _Reader(data, len(MAGIC))
        version = reader.number("I")
        if version not in VERSIONS:
            raise Damaged(f"it is of version {version}; expected 2 or 3, little-endian")
        n_tensors, n_settings = reader.number("Q"), reader.number("Q")
        settings = {}
        for _ in range(n_settings):
            key = reader.text()
            settings[key] = reader.value(reader.number("I"))
        entries = [_read_entry(reader) for _ in range(n_tensors)]
        alignment = settings.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise Damaged(f"its alignment is {alignment!r}")
        begin = -(-reader.place // alignment) * alignment
        tensors = tuple(_place(entry, begin, len(data)) for entry in entries)
    if not tensors:
        raise Damaged("it holds no tensor")
    return Header(settings=settings, tensors=tensors)


class _Reader:
    """Reads values one after another, and nothing beyond the end."""

    def __init__(self, data: mmap.mmap, place: int) -> None:
        self._data, self.place = data, place

    def take(self, n_bytes: int) -> int:
        """Pass over bytes; return where they begin."""
        if n_bytes > len(self._data) - self.place:
            raise Damaged(f"it ends after {len(self._data):,} bytes, inside its head")
        begin, self.place = self.place, self.place + n_bytes
        return begin

    def number(self, kind: str) -> Any:
        return struct.unpack_from(f"<{kind}", self._data, self.take(struct.calcsize(kind)))[0]

    def text(self) -> str:
        length = self.number("Q")
        begin = self.take(length)
        try:
            return self._data[begin : begin + length].decode()
        except UnicodeDecodeError:
            raise Damaged(f"a text at byte {begin:,} is no UTF-8") from None

    def value(self, kind: int) -> Any:
        """A setting's value."""
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array(self.number("I"), self.number("Q"))
        raise Damaged(f"it holds a setting of kind {kind}, which GGUF does not have")

    def _array(self, kind: int, length: int) -> Any:
        if kind in _NUMBERS:
            size = struct.calcsize(_NUMBERS[kind])
            begin = self.take(length * size)
            return list(struct.unpack_from(f"<{length}{_NUMBERS[kind]}", self._data, begin))
        if kind != _STRING:
            raise Damaged(f"it holds a list of kind {kind}, which is not read here")
        for _ in range(length):
            self.take(self.number("Q"))
        return length


def _read_entry(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """A tensor's name, shape, kind and place among the tensors."""
    name, n_dimensions = reader.text(), reader.number("I")
    if n_dimensions > _MAX_DIMENSIONS:
        raise Damaged(f"its tensor {name!r} has {n_dimensions} dimensions")
    shape = tuple(reader.number("Q") for _ in range(n_dimensions))
    return name, shape, reader.number("I"), reader.number("Q")


def _place(entry: tuple[str, tuple[int, ...], int, int], begin: int, size: int) -> StoredTensor:
    name, shape, number, offset = entry
    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        raise Damaged(f"its tensor {name!r} is stored in a way ({number}) not known here") from None
    block, block_bytes = GGML_QUANT_SIZES[kind]
    n_values = prod(shape)
    if n_values % block:
        raise Damaged(f"its tensor {name!r} has {n_values:,} values, no multiple of {block}")
    n_bytes = n_values // block * block_bytes
    if begin + offset + n_bytes > size:
        raise Damaged(
            f"it has {size:,} bytes, and its tensor {name!r} would end at byte "
            f"{begin + offset + n_bytes:,}"
        )
    return StoredTensor(name, n_values, kind.name, begin + offset, n_bytes)


@contextmanager
def _mapped(file: Path) -> Iterator[mmap.mmap]:
    with file.open("rb") as opened:
        if opened.seek(0, 2) < len(MAGIC):
            raise Damaged("it is empty")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
