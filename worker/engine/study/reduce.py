"""From a study's children to its table: means over seeds with intervals, and paired differences."""

from collections.abc import Sequence, Sized
from itertools import product

import numpy as np

from worker.contract.result import ArrayInfo, Axis, Result
from worker.contract.spec import StudySpec
from worker.engine.study.intervals import Values, finite, interval
from worker.engine.study.outcome import Cell, Outcome
from worker.engine.study.tables import label, study_tables


def reduce_study(
    spec: StudySpec, outcome: Outcome, seconds: float
) -> tuple[Result, dict[str, Values]]:
    """Make a study's Result and its arrays.

    `study.values` is (group, metric, seed), `study.parameters` (group, seed); NaN where missing.

    Raises ValueError when no child was evaluated.
    """
    first = next((child.result for child in outcome.evaluations.values() if child.result), None)
    if first is None:
        reasons = "; ".join(f"{what}: {why}" for what, why in outcome.failures[:3])
        raise ValueError(f"no edit of the study could be evaluated. {reasons}")
    groups = list(product(spec.masks, spec.methods))
    metrics = metric_names(outcome)
    values = collect(spec, outcome, groups, metrics)
    parameters = _parameters(spec, outcome, groups)
    arrays = {"study.values": values, "study.parameters": parameters}
    axes = (
        Axis(name="group", labels=tuple(label(spec, *group) for group in groups)),
        Axis(name="metric", labels=tuple(metrics)),
        Axis(name="seed", labels=tuple(map(str, spec.seeds))),
    )
    result = Result(
        kind="study",
        spec=spec.model_dump(mode="json"),
        provenance=first.provenance.model_copy(update={"edits": spec.edits, "seed": spec.seed}),
        seconds=seconds,
        peak_memory_bytes=max(
            child.result.peak_memory_bytes for child in outcome.edits.values() if child.result
        ),
        arrays={
            "study.values": ArrayInfo(
                file="arrays.npz",
                axes=axes,
                unit="as the metric's name says",
                title="Every metric of every edit",
            ),
            "study.parameters": ArrayInfo(
                file="arrays.npz", axes=(axes[0], axes[2]), unit="parameters", title="Mask sizes"
            ),
        },
        summary=_summary(spec, groups, metrics, values, parameters),
        caption=(
            f"{_count(spec.masks, 'mask')} × {_count(spec.methods, 'method')} × "
            f"{_count(spec.seeds, 'seed')}: "
            f"{len(outcome.evaluations)} of {len(groups) * len(spec.seeds)} edits evaluated."
        ),
        tables=study_tables(spec, outcome, groups, metrics, values, parameters),
    )
    return result, arrays


def _count(things: Sized, what: str) -> str:
    return f"{len(things)} {what}{'s' if len(things) != 1 else ''}"


def metric_names(outcome: Outcome) -> list[str]:
    """Every number that any evaluation's summary holds, in order of appearance."""
    names: dict[str, None] = {}
    for child in outcome.evaluations.values():
        for name, value in (child.result.summary if child.result else {}).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                names[name] = None
    return list(names)


def collect(
    spec: StudySpec, outcome: Outcome, groups: Sequence[tuple[str, str]], metrics: Sequence[str]
) -> Values:
    """(group, metric, seed); NaN where a child failed or has no such number."""
    values = np.full((len(groups), len(metrics), len(spec.seeds)), np.nan)
    for g, (mask, method) in enumerate(groups):
        for s, seed in enumerate(spec.seeds):
            child = outcome.evaluations.get(Cell(mask, method, seed))
            summary = child.result.summary if child and child.result else {}
            for m, metric in enumerate(metrics):
                value = summary.get(metric)
                if isinstance(value, (int, float)):
                    values[g, m, s] = value
    return values


def _parameters(spec: StudySpec, outcome: Outcome, groups: Sequence[tuple[str, str]]) -> Values:
    counts = np.full((len(groups), len(spec.seeds)), np.nan)
    for g, (mask, method) in enumerate(groups):
        for s, seed in enumerate(spec.seeds):
            child = outcome.edits.get(Cell(mask, method, seed))
            if child and child.result and child.result.receipt:
                counts[g, s] = child.result.receipt.n_parameters
    return counts


def _summary(
    spec: StudySpec,
    groups: Sequence[tuple[str, str]],
    metrics: Sequence[str],
    values: Values,
    parameters: Values,
) -> dict[str, float | int | bool | str | None]:
    found: dict[str, float | int | bool | str | None] = {}
    for g, (mask, method) in enumerate(groups):
        found[f"study.{mask}.{method}.parameters"] = finite(interval(parameters[g])[0])
        for m, metric in enumerate(metrics):
            mean, low, high = interval(values[g, m])
            key = f"study.{mask}.{method}.{metric}"
            found |= {key: finite(mean), f"{key}.low": finite(low), f"{key}.high": finite(high)}
    return found
