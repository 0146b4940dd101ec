"""From edge scores per fact to findings: the mean matrix, the top edges, components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract import base
from worker.contract.facts import Fact
from worker.contract.result import Axis, Table
from worker.core.findings import Array, Findings, Job
from worker.core.localization import _metric
from worker.core.localization._cases import prepare, require_cases
from worker.core.localization._corruption import DESCRIPTIONS, Corrupted, Corruption, corrupt
from worker.core.localization._edges import NEEDED, Edges, readers, senders
from worker.core.localization._metric import UNITS, Metric
from worker.core.localization._outcome import Traced, build_findings, component_names, ordered
from worker.core.localization._pairing import zero_metric
from worker.core.localization._tracing import make_bench
from worker.core.models.batches import in_batches
from worker.core.models.model import Model

ScoreEdges = Callable[[Edges], np.ndarray]
"""Scores (fact, sender, reader) of a batch."""


class EdgeOptions(base.Options):
    """What all edge methods share."""

    metric: Metric = Field("logit_diff", description=_metric.DESCRIPTION)
    corruption: Corruption = Field("other_subject", description=DESCRIPTIONS)
    samples: int = Field(1, ge=1, le=100, description="Corrupted copies of each prompt.")
    noise_level: float = Field(
        3.0, gt=0, le=100, description="Noise in standard deviations of the subjects' embeddings."
    )
    aggregate: Literal["absolute", "signed"] = Field(
        "absolute",
        description="A component's score from the edges that leave it: the sum of their absolute "
        "scores, or their sum (which is its attribution-patching score).",
    )
    top_edges: int = Field(50, ge=1, le=1000, description="Edges listed in the table.")
    batch_size: int = Field(4, ge=1, le=256, description="Facts per batch; halved if too many.")
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )


def localize_edges(
    model: Model,
    facts: Sequence[Fact],
    options: EdgeOptions,
    job: Job,
    method: str,
    score: ScoreEdges,
) -> Findings:
    """Score the edges of each fact and put them together."""
    prepared = prepare(model, facts, options.min_probability, options.metric == "logit_diff")
    items = corrupt(
        model,
        prepared,
        options.corruption,
        samples=options.samples,
        noise_level=options.noise_level,
        seed=job.seed,
        pool=job.pool,
        or_random=True,
    )
    traced: dict[str, Traced] = {}
    edges: dict[str, np.ndarray] = {}
    operations = 0

    def run(batch: list[Corrupted]) -> None:
        nonlocal operations
        bench = make_bench(model, batch, options.metric, NEEDED)
        found = score(Edges(bench))
        operations += 2 * bench.base.operations
        for i, item in enumerate(batch):
            if abs(bench.clean[i] - bench.corrupted[i]) < 1e-6:
                prepared.leave_out(item.case.fact, zero_metric(item, options.metric))
                continue
            one = Traced(item.case, float(bench.clean[i]), float(bench.corrupted[i]))
            one.components = component_scores(model, found[i], options.aggregate)
            traced[item.case.fact.id], edges[item.case.fact.id] = one, found[i]
        job.report.progress(len(traced) / len(items), f"{len(traced)} of {len(items)} facts")

    by_length = sorted(items, key=lambda item: item.case.length)
    in_batches(model, "edges", by_length, options.batch_size, run)
    prepared.cases = [case for case in prepared.cases if case.fact.id in traced]
    require_cases(prepared)
    findings = build_findings(
        model,
        ordered(traced, prepared),
        prepared,
        method=method,
        metric=options.metric,
        unit=UNITS[options.metric],
        direction="Sum of absolute scores of the edges that leave a component."
        if options.aggregate == "absolute"
        else "(clean - corrupted) times slope, summed over edges: positive speaks for the answer.",
        operations=operations,
    )
    mean = np.mean(list(edges.values()), axis=0)
    axes = (
        Axis(name="sender", labels=tuple(senders(model))),
        Axis(name="reader", labels=tuple(readers(model))),
    )
    unit = UNITS[options.metric]
    findings.arrays["edges"] = Array(mean, axes, unit, "Edges", signed=True)
    findings.tables["edges"] = top_edges(model, mean, options.top_edges, unit)
    first = findings.tables["edges"].rows[0]
    findings.caption = (
        f"Of {int((mean != 0).sum())} edges over {len(traced)} facts the largest runs from "
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
