"""Checks an npz file that was brought from elsewhere, before anything reads it whole."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worker.contract.errors import UserError

MAX_BYTES = 512 * 2**20
"""Of all arrays of a file, unpacked."""
_HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_arrays(path: Path, wanted: Sequence[str]) -> None:
    """Raise UserError unless `path` is an npz of plain numbers that holds `wanted`.

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
            for name in wanted:
                _check_head(packed, infos[name])
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{path.name!r} is no file of arrays: {error}. Expected an npz of plain numbers, as a "
            f"run writes it.",
            field="bundle",
        ) from None


def _check_head(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    with packed.open(info) as file:
        head = io.BytesIO(file.read(20_000))
    read = _HEADS.get(np.lib.format.read_magic(head))
    if read is None:
        raise ValueError(f"{info.filename!r} is of another version")
    shape, _, dtype = read(head)
    if dtype.hasobject:
        raise ValueError(f"{info.filename!r} holds objects, which are never read")
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize if shape else dtype.itemsize
    if head.tell() + n_bytes != info.file_size:
        raise ValueError(f"{info.filename!r} claims {n_bytes:,} bytes and has {info.file_size:,}")
