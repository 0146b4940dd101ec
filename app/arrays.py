"""A result's arrays as downloads: npz, CSV with one row per cell, or JSON with nested lists."""

import io
import math
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse, Response

from app.csv_text import respond
from app.downloads import attachment
from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.contract.result import ArrayInfo
from worker.store.store import Store

FORMATS = ("npz", "csv", "json")
JSON_CELLS = 2_000_000
"""Numbers of an array that is given as JSON."""


def download(store: Store, run_id: str, name: str, format: str) -> Response:
    """Answer with one array of a run; UserError for an unknown array or format."""
    if format not in FORMATS:
        raise unknown("format", format, list(FORMATS), field="format")
    info = array_info(store, run_id, name)
    values = load(store, run_id, name, info)
    filename = f"{run_id}-{name}.{format}"
    if format == "csv":
        return respond(cells(values, info), filename)
    headers = attachment(filename)
    if format == "json":
        return JSONResponse(as_json(name, values, info), headers=headers)
    import numpy as np

    packed = io.BytesIO()
    np.savez_compressed(packed, **{name: values})
    return Response(packed.getvalue(), media_type="application/x-npz", headers=headers)


def array_info(store: Store, run_id: str, name: str) -> ArrayInfo:
    """What a run's result says of one of its arrays."""
    result = store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no result; it is {store.run(run_id).state}.")
    if name not in result.arrays:
        raise NotFound(unknown("array", name, list(result.arrays)).message, field="name")
    return result.arrays[name]


def load(store: Store, run_id: str, name: str, info: ArrayInfo) -> Any:
    """Read one array from the artifact store."""
    import numpy as np

    if not info.file.endswith(".npz"):
        raise UserError(f"The array {name!r} lies in {info.file}, which is no npz.", field="name")
    with store.artifacts.open(f"runs/{run_id}/{info.file}") as file:
        return np.load(io.BytesIO(file.read()), allow_pickle=False)[name]


def as_json(name: str, values: Any, info: ArrayInfo) -> dict[str, Any]:
    """An array with its axes and unit; what is no number is null."""
    import numpy as np

    if values.size > JSON_CELLS:
        raise UserError(
            f"The array {name!r} has {values.size:,} numbers; expected at most {JSON_CELLS:,} for "
            f"JSON. Take it as npz or CSV.",
            field="format",
        )
    plain = values.astype(object)
    if values.dtype.kind == "f":
        plain[~np.isfinite(values)] = None
    return {"name": name, **info.model_dump(exclude={"file"}), "values": plain.tolist()}


def cells(values: Any, info: ArrayInfo) -> Iterator[list[Any]]:
    """Rows of a CSV: each axis' label, else its index, then the value; NaN is empty."""
    import numpy as np

    yield [axis.name for axis in info.axes] + [f"value ({info.unit})"]
    for index, value in np.ndenumerate(values):
        named = [
            axis.labels[i] if axis.labels is not None else i
            for axis, i in zip(info.axes, index, strict=True)
        ]
        number = value.item()
        missing = isinstance(number, float) and math.isnan(number)
        yield [*named, None if missing else number]
