"""What patches did, told while they run: a fact's heatmap fills row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from worker.contract.progress import Report
from worker.core.patching.bench import Bench
from worker.core.patching.cases import Case

Row = Callable[[int, Float[np.ndarray, "fact patch"]], None]
"""Hears a position, counted with the padding, and what all patches did there."""
SHOWN_FACTS = 8  # facts whose heatmap fills while it runs; all are in the result


def row_reporter(
    report: Report,
    bench: Bench,
    sites: Sequence[str],
    shown: int,
    unit: str,
    scale: np.ndarray | float = 1.0,
) -> Row:
    """Make a `Row` that gives each position's values by layer as a partial result.

    The patches are those of all layers of each site in turn; others may follow. `shown` facts of
    the batch are told, their values divided by `scale` (per fact) and then in `unit`.
    """
    n_layers = bench.base.model.n_layers

    def tell(position: int, values: np.ndarray) -> None:
        scaled = values / np.reshape(scale, (-1, 1))
        for i, item in enumerate(bench.items[:shown]):
            if np.isnan(scaled[i]).any():
                continue
            for k, site in enumerate(sites):
                own = scaled[i, k * n_layers : (k + 1) * n_layers]
                place = position - bench.offsets[i]
                _report(report, item.case, site, own, unit, position=place)

    return tell


def report_rows(report: Report, case: Case, site: str, grid: np.ndarray, unit: str) -> None:
    """Give a fact's grid of one site as partial results, one row per layer."""
    for layer, values in enumerate(grid):
        _report(report, case, site, values, unit, layer=layer)


def _report(
    report: Report, case: Case, site: str, values: np.ndarray, unit: str, **place: int
) -> None:
    prompt = case.prompt
    data = {
        "fact": case.fact.id,
        "site": site,
        **place,
        "values": [float(value) for value in values],
        "unit": unit,
        "tokens": list(prompt.tokens),
        "subject": list(prompt.subject),
    }
    report.partial("grid", data)
