"""Turn what models told before and after into aggregates, a table worst first, and heatmaps."""

import math

import numpy as np
from jaxtyping import Float

from worker.contract.result import Axis, Comparison, Direction, Evaluation, Table
from worker.core.asking.before_after import State
from worker.core.asking.formats import format_infos
from worker.core.asking.probe import Plan, Told
from worker.core.asking.statistics import compare, summarize
from worker.core.findings import Array, Findings

Tells = dict[State, Told]
NOT_ASKED = "the fact cannot be asked in this format"
_QUANTITIES: dict[str, tuple[str, str]] = {
    "target_probability": ("target", "probability of the whole target"),
    "edit_probability": ("edit", "probability of the whole edit target"),
    "target_rank": ("rank", "target's rank"),
    "edit_rank": ("edit_rank", "edit target's rank"),
    "target_top5": ("top5", "target among the five likeliest"),
    "exact": ("free.target", "free answer is the target, word for word"),
    "edit_exact": ("free.edit", "free answer is the edit target, word for word"),
}
_BETTER: dict[tuple[str, str], Direction] = {
    ("forget", "target_probability"): "lower",
    ("forget", "edit_probability"): "higher",
    ("forget", "target_rank"): "higher",
    ("forget", "edit_rank"): "lower",
    ("forget", "target_top5"): "lower",
    ("forget", "exact"): "lower",
    ("forget", "edit_exact"): "higher",
    ("retain", "target_probability"): "higher",
    ("retain", "edit_probability"): "lower",
    ("retain", "target_rank"): "lower",
    ("retain", "edit_rank"): "higher",
    ("retain", "target_top5"): "higher",
    ("retain", "exact"): "higher",
    ("retain", "edit_exact"): "lower",
}


def probe_findings(name: str, title: str, plan: Plan, told: Tells, seed: int) -> Findings:
    """Make the findings of an evaluation that asks facts in formats."""
    aggregates = aggregate(name, plan, told, seed)
    caption = _caption(name, aggregates)
    return Findings(
        arrays=heatmaps(plan, told),
        summary=dict(summarize(aggregates)),
        caption=caption,
        left_out=list(plan.left_out),
        evaluation=Evaluation(
            name=name,
            title=title,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=fact_table(plan, told),
        ),
    )


def aggregate(name: str, plan: Plan, told: Tells, seed: int) -> list[Comparison]:
    """Average each quantity over forget and over retain facts, format by format."""
    titles = {info.name: info.title for info in format_infos()}
    found = []
    for j, form in enumerate(plan.formats):
        for group, rows in (
            ("forget", slice(0, plan.n_forget)),
            ("retain", slice(plan.n_forget, None)),
        ):
            for quantity, (field, words) in _QUANTITIES.items():
                columns = {s: _column(t, field, rows, j) for s, t in told.items()}
                if any(c is None or np.isnan(c).all() for c in columns.values()):
                    continue
                found.append(
                    compare(
                        f"{name}.{form}.{group}.{quantity}",
                        f"{titles[form]}, {group} facts: {words}",
                        _BETTER[group, quantity],
                        columns["before"],
                        columns.get("after"),
                        seed=seed,
                    )
                )
    return found


def heatmaps(plan: Plan, told: Tells) -> dict[str, Array]:
    """Make `probe.target.<state>` and `probe.edit_target.<state>` (fact, format)."""
    axes = (
        Axis(name="fact", labels=tuple(fact.id for fact in plan.facts)),
        Axis(name="format", labels=plan.formats),
    )
    arrays = {}
    for state, one in told.items():
        arrays[f"probe.target.{state}"] = Array(
            one.target,
            axes,
            "probability",
            f"Target's probability {state} the edit",
            gaps=NOT_ASKED,
        )
        arrays[f"probe.edit_target.{state}"] = Array(
            one.edit,
            axes,
            "probability",
            f"Edit target's probability {state} the edit",
            gaps=f"{NOT_ASKED}, or it has no edit target",
        )
    return arrays


def fact_table(plan: Plan, told: Tells) -> Table:
    """List every fact in every format, the worst first.

    Worst is a forget fact whose target is still said, or a retain fact whose target is said less.
    """
    last = told.get("after", told["before"])
    rows = []
    for i, j in plan.asks:
        forget = i < plan.n_forget
        before, after = float(told["before"].target[i, j]), float(last.target[i, j])
        harm = after if forget else before - after
        rows.append((harm, _row(plan, told, i, j, forget)))
    rows.sort(key=lambda row: -row[0])
    states = tuple(told)
    columns: tuple[str, ...] = ("fact", "subject", "set", "format", "target", "edit target")
    for words, _ in _cells(told["before"]):
        columns += tuple(f"{words} {state}" for state in states)
    return Table(
        title="Every fact in every format, worst first",
        columns=columns,
        rows=tuple(row for _, row in rows),
    )


def _row(plan: Plan, told: Tells, i: int, j: int, forget: bool) -> tuple[object, ...]:
    fact = plan.facts[i]
    cells: list[object] = [
        fact.id,
        fact.subject,
        "forget" if forget else "retain",
        plan.formats[j],
        fact.target,
        fact.edit_target,
    ]
    per_state = [_cells(one) for one in told.values()]
    for k in range(len(per_state[0])):
        values = (cells_of[k][1] for cells_of in per_state)
        cells += [
            value.get((i, j), "") if isinstance(value, dict) else _number(value[i, j])
            for value in values
        ]
    return tuple(cells)


def _cells(told: Told) -> list[tuple[str, np.ndarray | dict[tuple[int, int], str]]]:
    """Name the columns of one state with their values; free answers only where there are any."""
    shown: list[tuple[str, np.ndarray | dict[tuple[int, int], str]]] = [
        ("target probability", told.target),
        ("edit probability", told.edit),
        ("target rank", told.rank),
        ("edit rank", told.edit_rank),
        ("likeliest next tokens", told.said),
    ]
    if told.free is not None:
        shown += [
            ("free answer", told.free.answers),
            ("free answer is target", told.free.target),
            ("free answer is edit target", told.free.edit),
        ]
    return shown


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _column(told: Told, field: str, rows: slice, j: int) -> Float[np.ndarray, " fact"] | None:
    source: object = told
    for part in field.split("."):
        source = getattr(source, part, None)
    return None if source is None else np.asarray(source)[rows, j]


def _caption(name: str, aggregates: list[Comparison]) -> str:
    found = {c.name: c for c in aggregates}
    said = []
    for form in ("statement", "choice"):
        for group, quantity, words in (
            ("forget", "target_probability", "the forgotten target"),
            ("forget", "edit_probability", "its edit target"),
            ("retain", "target_probability", "retained targets"),
        ):
            one = found.get(f"{name}.{form}.{group}.{quantity}")
            if one and one.before:
                after = f" to {one.after.mean:.2f}" if one.after else ""
                verb = "from " if one.after else ""
                said.append(f"{form}: {words} {verb}{one.before.mean:.2f}{after}")
    words = "; ".join(said) if said else "no format could be asked"
    return f"Mean probabilities of whole answers ({words})."
