"""Checks an npz file that was brought from elsewhere, before anything reads it whole."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worker.contract.errors import UserError
from worker.contract.result import ArrayInfo

MAX_BYTES = 512 * 2**20
"""Of all arrays of a file, unpacked."""
PIECE = 2**20
"""Numbers that are looked at together."""
_HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_arrays(path: Path, wanted: Mapping[str, ArrayInfo]) -> None:
    """Raise UserError unless `path` is an npz of plain numbers that holds `wanted`, as described.

    Headers are read and compared with the bytes that follow: numpy reserves what a header claims.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            infos = {info.filename.removesuffix(".npy"): info for info in packed.infolist()}
            missing = [name for name in wanted if name not in infos]
            if missing:
                raise ValueError(f"it has no array {missing[0]!r}")
            total = sum(info.file_size for info in infos.values())
            if total > MAX_BYTES:
                raise ValueError(f"its arrays have {total:,} bytes")
            for name, info in wanted.items():
                _check_axes(name, _check_head(packed, infos[name]), info)
                _check_numbers(packed, infos[name], name, info)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{path.name!r} is no file of arrays: {error}. Expected an npz of plain numbers, as a "
            f"run writes it.",
            field="bundle",
        ) from None


def _check_numbers(
    packed: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, info: ArrayInfo
) -> None:
    """Refuse infinity, and NaN where it would decide or stands for nothing.

    Runs of before `gaps` was written have NaN for places without a value, but never in scores of
    components, by which masks are chosen.
    """
    decides = name.split(".")[0] == "components"
    with packed.open(entry) as file:
        version = np.lib.format.read_magic(file)
        dtype = _HEADS[version](file)[2]
        while dtype.kind == "f" and (data := file.read(dtype.itemsize * PIECE)):
            values = np.frombuffer(data, dtype)
            wrong = values[~np.isfinite(values)] if decides else values[np.isinf(values)]
            if len(wrong):
                raise ValueError(f"{name!r} ({info.title or info.unit}) holds {wrong[0]}")


def _check_axes(name: str, shape: tuple[int, ...], info: ArrayInfo) -> None:
    """Refuse an array whose axes are described otherwise than it has them."""
    if len(shape) != len(info.axes):
        raise ValueError(f"{name!r} has {len(shape)} axes and is described with {len(info.axes)}")
    for length, axis in zip(shape, info.axes, strict=True):
        if axis.labels is not None and len(axis.labels) != length:
            raise ValueError(
                f"{name!r} has {length} entries along {axis.name!r} and {len(axis.labels)} labels"
            )


def _check_head(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
    with packed.open(info) as file:
        head = io.BytesIO(file.read(20_000))
    read = _HEADS.get(np.lib.format.read_magic(head))
    if read is None:
        raise ValueError(f"{info.filename!r} is of another version")
    shape, _, dtype = read(head)
    if dtype.hasobject:
        raise ValueError(f"{info.filename!r} holds objects, which are never read")
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize if shape else dtype.itemsize
    held = info.file_size - head.tell()
    if n_bytes != held:
        raise ValueError(f"{info.filename!r} claims {n_bytes:,} bytes and has {held:,}")
    return tuple(shape)
