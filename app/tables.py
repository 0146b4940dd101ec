"""A result's tables as downloads: JSON, CSV, or npz with one array per column."""

import io
import json
import math
from typing import Any

from starlette.responses import Response

from app.csv_text import write
from app.downloads import attachment
from worker.contract.base import unknown
from worker.contract.errors import NotFound
from worker.contract.result import Comparison, Estimate, Evaluation, Result, Table

FORMATS = ("json", "csv", "npz")


def tables_of(result: Result) -> dict[str, Table]:
    """Every table that a result holds, by the name that its download has."""
    found: dict[str, Table] = {}
    for name, evaluation in result.evaluations.items():
        found |= {f"{name}.{key}": table for key, table in _of_evaluation(evaluation).items()}
    found |= result.tables
    if result.receipt is not None:
        rows = [tuple(tensor.model_dump().values()) for tensor in result.receipt.tensors]
        columns = ("tensor", "changed", "parameters", "norm", "relative norm")
        found["receipt"] = Table(title="Changed tensors", columns=columns, rows=tuple(rows))
    if result.mask is not None:
        names = tuple((name,) for name in result.mask.components)
        found["mask"] = Table(title="The mask", columns=("component",), rows=names)
    if result.left_out:
        rows = [(one.id, one.reason) for one in result.left_out]
        found["left_out"] = Table(
            title="Facts left out", columns=("fact", "reason"), rows=tuple(rows)
        )
    if result.summary:
        rows = list(result.summary.items())
        found["numbers"] = Table(title="Named numbers", columns=("name", "value"), rows=tuple(rows))
    return found


def download(result: Result, run_id: str, name: str, format: str) -> Response:
    """Answer with one table; NotFound for an unknown one, UserError for an unknown format."""
    if format not in FORMATS:
        raise unknown("format", format, list(FORMATS), field="format")
    tables = tables_of(result)
    if name not in tables:
        raise NotFound(unknown("table", name, list(tables)).message, field="name")
    pack, media_type = {
        "json": (as_json, "application/json"),
        "csv": (as_csv, "text/csv; charset=utf-8"),
        "npz": (as_npz, "application/x-npz"),
    }[format]
    headers = attachment(f"{run_id}-{name}.{format}")
    return Response(pack(tables[name]), media_type=media_type, headers=headers)


def as_json(table: Table) -> bytes:
    """One object per row; what is no number is null."""
    rows = [dict(zip(table.columns, map(_plain, row), strict=True)) for row in table.rows]
    body = {"title": table.title, "columns": table.columns, "rows": rows}
    return json.dumps(body, indent=1).encode()


def as_csv(table: Table) -> bytes:
    """A header and one line per row; what is no number is empty."""
    rows = ([_plain(cell) for cell in row] for row in table.rows)
    return "".join(write([table.columns, *rows])).encode("utf-8", "replace")


def as_npz(table: Table) -> bytes:
    """One array per column: numbers as float64 with NaN where there is none, else text."""
    import numpy as np

    columns: dict[str, Any] = {}
    for place, name in enumerate(table.columns):
        cells = [row[place] for row in table.rows]
        numbers = all(cell is None or isinstance(cell, int | float) for cell in cells)
        columns[name] = (
            np.array([math.nan if cell is None else float(cell) for cell in cells])
            if numbers
            else np.array(["" if cell is None else str(cell) for cell in cells], dtype=np.str_)
        )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    return buffer.getvalue()


def _of_evaluation(evaluation: Evaluation) -> dict[str, Table]:
    found = {"aggregates": _aggregates(evaluation.aggregates)}
    if evaluation.facts is not None:
        found["facts"] = evaluation.facts
    return found | evaluation.tables


def _aggregates(compared: tuple[Comparison, ...]) -> Table:
    spread = ("mean", "low", "high", "n")
    columns = ["name", "title", "better"]
    columns += [f"{state} {part}" for state in ("before", "after") for part in spread]
    rows = [
        (one.name, one.title, one.better, *_cells(one.before), *_cells(one.after))
        for one in compared
    ]
    return Table(title="Before and after", columns=tuple(columns), rows=tuple(rows))


def _cells(estimate: Estimate | None) -> tuple[float | int | None, ...]:
    if estimate is None:
        return (None, None, None, None)
    return (estimate.mean, *estimate.bounds, estimate.n)


def _plain(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
