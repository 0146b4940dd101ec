"""From edge scores per fact to findings: the mean matrix, the top edges, components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.facts import Fact
from worker.contract.result import Axis, Table
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.patching.bench import make_bench
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import Corrupted
from worker.core.patching.edges import NEEDED, Edges, readers, senders
from worker.core.patching.metric import CHANGES, SIZES
from worker.core.patching.outcome import component_names

ScoreEdges = Callable[[Edges], np.ndarray]
"""Scores (fact, sender, reader) of a batch."""


class EdgeOptions(ComparisonOptions):
    """What all edge methods share."""

    aggregate: Literal["absolute", "signed"] = Field(
        "absolute",
        description="A component's score from the edges that leave it: the sum of their absolute "
        "scores, or their sum (which is its attribution-patching score).",
    )
    top_edges: int = Field(50, ge=1, le=1000, description="Edges listed in the table.")
    batch_size: int = Field(4, ge=1, le=256, description="Facts per batch; halved if too many.")


def localize_edges(
    model: Model,
    facts: Sequence[Fact],
    options: EdgeOptions,
    job: Job,
    method: str,
    score: ScoreEdges,
) -> Findings:
    """Score the edges of each fact and put them together."""
    facing = Comparison(model, facts, options, job)
    edges: dict[str, np.ndarray] = {}

    def run(batch: list[Corrupted]) -> None:
        bench = make_bench(model, batch, options.metric, NEEDED)
        found = score(Edges(bench))
        facing.operations += 2 * bench.base.operations
        for i, item in enumerate(batch):
            one = facing.keep(item, bench.changes[i])
            if one is not None:
                one.components = component_scores(model, found[i], options.aggregate)
                edges[item.case.fact.id] = found[i]
        facing.tell()

    facing.run("edges", options.batch_size, run)
    findings = facing.findings(
        method,
        "Sum of absolute scores of the edges that leave a component."
        if options.aggregate == "absolute"
        else "(clean − corrupted) times slope, summed over edges: positive speaks for the answer.",
        unit=SIZES[options.metric] if options.aggregate == "absolute" else "",
    )
    mean = np.mean(list(edges.values()), axis=0)
    axes = (
        Axis(name="sender", labels=tuple(senders(model))),
        Axis(name="reader", labels=tuple(readers(model))),
    )
    unit = CHANGES[options.metric]
    findings.arrays["edges"] = Array(mean, axes, unit, "Edges", signed=True)
    findings.tables["edges"] = top_edges(model, mean, options.top_edges, unit)
    first = findings.tables["edges"].rows[0]
    findings.caption = (
        f"Of {int((mean != 0).sum())} edges over {len(facing.traced)} facts the largest runs from "
        f"{first[0]} to {first[1]} ({first[2]:+.3f} {unit})."
    )
    return findings


def component_scores(model: Model, edges: np.ndarray, aggregate: str) -> dict[str, float]:
    """Sum the edges that leave each component; an attention's are its heads'."""
    leaving = np.abs(edges).sum(1) if aggregate == "absolute" else edges.sum(1)
    by_name = dict(zip(senders(model), leaving.tolist(), strict=True))
    scores = {}
    for name in component_names(model, heads=True):
        heads = [v for sender, v in by_name.items() if sender.startswith(f"{name}.head.")]
        scores[name] = by_name[name] if name in by_name else float(sum(heads))
    return scores


def top_edges(model: Model, edges: np.ndarray, n: int, unit: str) -> Table:
    """List the largest edges, by absolute score."""
    order = np.argsort(-np.abs(edges), axis=None)[:n]
    sources, targets = senders(model), readers(model)
    rows = []
    for index in order.tolist():
        i, j = divmod(index, edges.shape[1])
        rows.append((sources[i], targets[j], float(edges[i, j])))
    return Table(title="Largest edges", columns=("From", "To", f"Score ({unit})"), rows=tuple(rows))
