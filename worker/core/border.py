"""The border where results leave core: no NaN and no infinity crosses it.

Some arrays have places without a value: positions past a fact's last, formats in which a fact
cannot be asked. Such an array says in `gaps` what NaN stands for; in every other it is refused, and
infinity in all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.contract.errors import NotFinite
from worker.contract.progress import Report
from worker.core.findings import Array, Findings
from worker.core.finite import UNTOUCHED, count_words, first_not_finite, require_finite


def check_findings(found: Findings) -> None:
    """Raise NotFinite, in words that name the place, unless every number found is one."""
    for name, array in found.arrays.items():
        _check_array(name, array)
    parts: dict[str, Any] = {"summary": found.summary, "view": found.view}
    parts |= {f"table {name}": table.rows for name, table in found.tables.items()}
    parts |= {
        name: part.model_dump()
        for name, part in {
            "receipt": found.receipt,
            "attribution": found.attribution,
            "evaluation": found.evaluation,
            **found.evaluations,
        }.items()
        if part is not None
    }
    for name, data in parts.items():
        check_data(name, data)
    for name, values in (found.delta or {}).items():
        require_finite(values, f"The edit cannot be kept: its {name}", UNTOUCHED)


def check_data(name: str, data: Any) -> None:
    """Raise NotFinite where plain data holds a float that is NaN or infinite."""
    if (place := first_not_finite(data)) is not None:
        path, value = place
        raise NotFinite(
            f"The {name} of this run gives {value} for {path}, where a number was expected. "
            f"Nothing of this run is kept. {UNTOUCHED}"
        )


def _check_array(name: str, array: Array) -> None:
    values = np.asarray(array.values)
    if values.dtype.kind != "f":
        return
    wrong = np.isinf(values) if array.gaps else ~np.isfinite(values)
    if not wrong.any():
        return
    first = np.argwhere(wrong)[0].tolist()
    place = ", ".join(
        f"{axis.name} {axis.labels[i] if axis.labels is not None else i}"
        for axis, i in zip(array.axes, first, strict=True)
    )
    raise NotFinite(
        f"{array.title or name} ({name}) {count_words(values)}: {place or 'its one number'} is "
        f"{float(values[tuple(first)])}, where a number was expected. Nothing of this run is kept. "
        f"{UNTOUCHED}"
    )


class FiniteReport:
    """A Report that lets no partial result pass that holds a NaN or an infinity."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def progress(self, fraction: float, message: str) -> None:
        self._report.progress(fraction, message)

    def expect(self, seconds: float) -> None:
        self._report.expect(seconds)

    def partial(self, name: str, data: Any) -> None:
        check_data(f"partial result {name!r}", data)
        self._report.partial(name, data)

    def log(self, message: str) -> None:
        self._report.log(message)
