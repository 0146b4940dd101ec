"""A study's tables: for reading, and for what the report is made from."""

import json
from collections.abc import Iterator, Sequence

from worker.contract.result import Table
from worker.contract.spec import StudySpec
from worker.engine.study.intervals import Values, finite, interval, words
from worker.engine.study.outcome import Cell, Outcome


def study_tables(
    spec: StudySpec,
    outcome: Outcome,
    groups: Sequence[tuple[str, str]],
    metrics: Sequence[str],
    values: Values,
    parameters: Values,
) -> dict[str, Table]:
    """The tables of groups, masks, metrics, trials, failures and paired differences."""
    rows = [
        (
            label(spec, *group),
            finite(interval(parameters[g])[0]),
            *(words(interval(values[g, m])) for m in range(len(metrics))),
        )
        for g, group in enumerate(groups)
    ]
    tables = {
        "groups": Table(
            title="Means over seeds with 95 % bootstrap intervals",
            columns=("group", "parameters", *metrics),
            rows=tuple(rows),
        ),
        "masks": Table(
            title="The components of every mask",
            columns=("group", "seed", "components", "parameters"),
            rows=tuple(_mask_rows(spec, outcome, groups)),
        ),
        "metrics": Table(
            title="What every metric is",
            columns=("metric", "title", "better"),
            rows=tuple((name, *_meanings(outcome).get(name, (name, "none"))) for name in metrics),
        ),
        "trials": Table(
            title="Every trial of the search",
            columns=("mask", "method", "options", "score", "run", "search"),
            rows=tuple(
                (t.mask, t.method, json.dumps(t.options), t.score, t.handle, t.seed)
                for t in outcome.trials
            ),
        ),
        "failures": Table(
            title="What could not be computed",
            columns=("what", "reason"),
            rows=tuple(outcome.failures),
        ),
    }
    if spec.reference is not None:
        tables["differences"] = _differences(spec, groups, metrics, values)
    return tables


def _differences(
    spec: StudySpec, groups: Sequence[tuple[str, str]], metrics: Sequence[str], values: Values
) -> Table:
    """Reference minus each other mask, paired by seed, under the same method."""
    rows = []
    for g, (mask, method) in enumerate(groups):
        if mask == spec.reference:
            continue
        assert spec.reference is not None
        own = groups.index((spec.reference, method))
        paired = values[own] - values[g]
        rows.append(
            (
                label(spec, mask, method),
                *(words(interval(paired[m])) for m in range(len(metrics))),
            )
        )
    assert spec.reference is not None
    return Table(
        title=f"{spec.masks[spec.reference].title} minus each other, paired by seed",
        columns=("group", *metrics),
        rows=tuple(rows),
    )


def _mask_rows(
    spec: StudySpec, outcome: Outcome, groups: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, int, str, int]]:
    for mask, method in groups:
        for seed in spec.seeds:
            child = outcome.edits.get(Cell(mask, method, seed))
            used = child.result.mask if child and child.result else None
            if used is not None:
                names = ", ".join(used.components)
                yield label(spec, mask, method), seed, names, used.n_parameters or 0


def _meanings(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Metric -> its title and which direction is better, as the evaluations say."""
    found: dict[str, tuple[str, str]] = {}
    for child in outcome.evaluations.values():
        for one in child.result.evaluations.values() if child.result else ():
            for comparison in one.aggregates:
                for state in ("before", "after"):
                    title = f"{comparison.title}, {state}"
                    found.setdefault(f"{comparison.name}.{state}", (title, comparison.better))
    return found


def label(spec: StudySpec, mask: str, method: str) -> str:
    """A group's name: its mask's, and its method's where there are several."""
    title = spec.masks[mask].title
    return title if len(spec.methods) == 1 else f"{title}, {spec.methods[method].title}"
