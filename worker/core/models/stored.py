"""The tensors that safetensors files hold, read from their headers alone.

A header is a few kilobytes in front of gigabytes, and says name, dtype, shape and place of every
tensor; so a file that was cut, or a shard that is missing, is found without reading weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from worker.contract.errors import UserError

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
MAX_INDEX = 100 * 2**20
"""Bytes of a shard list; the largest that is public has under 10 MB."""
_NAMED = 5


@dataclass(frozen=True)
class Stored:
    """One tensor of a file: its dtype as the format names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> list[Path]:
    """List the files that transformers reads a folder's weights from.

    That is model.safetensors, else the shards that model.safetensors.index.json names. Empty where
    there is neither. Raises UserError for a list that cannot be read and for shards that are not
    there.
    """
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        return []
    shards = sorted(set(_read_index(folder / INDEX).values()))
    there = {path.name for path in folder.iterdir()}  # a list may name any number of files
    missing = [name for name in shards if name not in there or not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder.name!r} lacks {len(missing)} of its {len(shards)} shards: {few(missing)}, "
            f"which {INDEX} names. Copy the folder again, whole.",
            field="model",
        )
    return [folder / name for name in shards]


def read_headers(files: Sequence[Path]) -> dict[str, Stored]:
    """Read every tensor's name, dtype and shape; raise UserError for a damaged file."""
    found: dict[str, Stored] = {}
    for file in files:
        found |= dict(_read_header(file))
    return found


def _read_header(file: Path) -> Iterator[tuple[str, Stored]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (it is no mapping)
                tensor = opened.get_slice(name)
                yield name, Stored(tensor.get_dtype(), tuple(tensor.get_shape()))
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file.parent.name!r} is damaged: {file.name} cannot be read ({error})"
            f"{_sizes(file)}. Copy that file again.",
            field="model",
        ) from None


def _sizes(file: Path) -> str:
    """Say how many bytes a file has and how many its header speaks of, where it can be read."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > size:
                return f"; it has {size:,} bytes"
            ends = [entry["data_offsets"][1] for entry in _entries(opened.read(length))]
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return f"; it has {size:,} bytes, and its header speaks of {8 + length + max(ends):,}"


def _entries(header: bytes) -> Iterator[Any]:
    return (entry for name, entry in json.loads(header).items() if name != "__metadata__")


def _read_index(path: Path) -> Mapping[str, str]:
    """Read which shard holds which tensor."""
    try:
        if path.stat().st_size > MAX_INDEX:
            raise ValueError(f"{path.stat().st_size:,} bytes are no list of shards")
        index = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(index["metadata"], dict):
            raise TypeError("metadata is no object")
        names: dict[str, str] = dict(index["weight_map"])
        odd = next((name for name in names.values() if not isinstance(name, str)), None)
        if odd is not None:
            raise TypeError(f"{odd!r} is no name of a file")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path.parent.name!r} is damaged: {path.name} cannot be read ({lacks}); expected a "
            f"list of which tensor is in which file. Copy that file again.",
            field="model",
        ) from None
    outside = [name for name in names.values() if name in ("", ".", "..") or {"/", "\0"} & {*name}]
    if outside or not names:
        raise UserError(
            f"{path.parent.name!r}: {path.name} names "
            f"{repr(outside[0]) if outside else 'no file'}; expected the names of files beside it.",
            field="model",
        )
    return names


def few(names: Sequence[str]) -> str:
    """Join the first names, and say how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
