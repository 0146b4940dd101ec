"""A finished study as one small file: means, intervals, paired differences, what was chosen."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from worker.contract.result import Estimate, Result, Table
from worker.contract.spec import StudySpec
from worker.contract.study import ReportGroup, ReportMetric, StudyReport
from worker.engine.study.headlines import NOT_OF_THE_BASE, columns
from worker.engine.study.intervals import Values, estimate, finite

DIGITS = 5
"""Decimals that the file keeps; bootstrap intervals are far wider."""


def report_of(result: Result, values: Values, title: str = "") -> StudyReport:
    """Make the report of a study's result; `values` is its array `study.values`."""
    spec = StudySpec.model_validate(result.spec)
    labels = result.arrays["study.values"].axes[1].labels or ()
    meanings = {row[0]: (row[1], row[2]) for row in _rows(result, "metrics")}
    metrics = columns(labels, meanings)
    chosen = np.round(values[:, [labels.index(m.name) for m in metrics]], DIGITS)
    made = result.provenance
    return StudyReport(
        title=title,
        caption=result.caption,
        model=made.model,
        weights_hash=made.weights_hash,
        fact_set=spec.facts.set,
        forget=spec.facts.forget,
        seeds=spec.seeds,
        device=made.device,
        versions=made.versions,
        seconds=result.seconds,
        reference=spec.reference,
        groups=tuple(_groups(spec, result)),
        metrics=tuple(metrics),
        values=tuple(tuple(tuple(finite(v) for v in seeds) for seeds in group) for group in chosen),
        estimates=_estimates(chosen),
        differences=_differences(spec, chosen),
        base=tuple(_base(values, labels, metric) for metric in metrics),
        failures=result.tables.get("failures"),
    )


def _groups(spec: StudySpec, result: Result) -> list[ReportGroup]:
    labels = result.arrays["study.values"].axes[0].labels or ()
    pairs = [(mask, method) for mask in spec.masks for method in spec.methods]
    return [
        ReportGroup(
            mask=mask,
            method=method,
            title=title,
            parameters=_float(result.summary.get(f"study.{mask}.{method}.parameters")),
            options=_chosen(result, mask, method),
            components=tuple(str(row[2]) for row in _rows(result, "masks") if row[0] == title),
        )
        for (mask, method), title in zip(pairs, labels, strict=True)
    ]


def _chosen(result: Result, mask: str, method: str) -> dict[str, Any]:
    """The options of the best trial, which the table of trials holds as JSON.

    Where several searches chose different values, an option has the list of them.
    """
    best: dict[Any, tuple[float, dict[str, Any]]] = {}
    for row in _rows(result, "trials"):
        if row[:2] != (mask, method) or row[3] is None:
            continue
        search = row[5] if len(row) > 5 else None
        if search not in best or float(row[3]) > best[search][0]:
            best[search] = float(row[3]), json.loads(row[2])
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for _, options in best.values() for name in options):
        values = [options[name] for _, options in best.values()]
        found[name] = values[0] if all(value == values[0] for value in values) else values
    return found


def _estimates(values: Values) -> tuple[tuple[Estimate | None, ...], ...]:
    return tuple(tuple(_rounded(estimate(seeds)) for seeds in group) for group in values)


def _differences(spec: StudySpec, values: Values) -> tuple[tuple[Estimate | None, ...], ...]:
    if spec.reference is None:
        return ()
    masks, methods = list(spec.masks), len(spec.methods)
    own = masks.index(spec.reference) * methods
    paired = np.stack([values[own + g % methods] - values[g] for g in range(len(values))])
    return _estimates(paired)


def _rounded(found: Estimate | None) -> Estimate | None:
    if found is None:
        return None
    return Estimate(
        mean=round(found.mean, DIGITS),
        low=round(found.low, DIGITS),
        high=round(found.high, DIGITS),
        n=found.n,
    )


def _base(values: Values, labels: Sequence[str], metric: ReportMetric) -> float | None:
    name = metric.name.removesuffix(".after") + ".before"
    if metric.name.startswith(NOT_OF_THE_BASE) or name not in labels or name == metric.name:
        return None
    found = values[:, labels.index(name)]
    return round(float(np.nanmean(found)), DIGITS) if np.isfinite(found).any() else None


def _rows(result: Result, table: str) -> tuple[tuple[Any, ...], ...]:
    found: Table | None = result.tables.get(table)
    return found.rows if found else ()


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
