"""The path-patching half of fact lookup: from extraction heads back to the MLPs that feed them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worker.contract.components import Component
from worker.contract.facts import Fact
from worker.contract.result import Axis
from worker.core.findings import Array, Findings, Job
from worker.core.localization._cases import Prepared, prepare, require_cases
from worker.core.localization._corruption import Corrupted, Corruption, corrupt
from worker.core.localization._outcome import Traced, build_findings, ordered
from worker.core.localization._pairing import zero_metric
from worker.core.localization._path_effects import path_effects
from worker.core.localization._shares import (
    MIN_DIFFERENCE,
    difference_weights,
    leave_out_tiny,
)
from worker.core.localization._suggest import suggest
from worker.core.localization._tracing import Bench, facts_per_batch, make_bench
from worker.core.models.batches import in_batches
from worker.core.models.model import Model
from worker.core.models.paths import NEEDED, Receivers


def find_by_paths(
    model: Model,
    facts: Sequence[Fact],
    job: Job,
    *,
    corruption: Corruption,
    top_heads: int,
    threshold: float,
    min_probability: float,
) -> Findings:
    """Find extraction heads, then the MLPs with a direct effect on their first layer's input."""
    prepared = prepare(model, facts, min_probability, needs_foil=True)
    items = corrupt(
        model, prepared, corruption, samples=1, noise_level=3.0, seed=job.seed, pool=job.pool,
        or_random=True,
    )  # fmt: skip
    heads = [Component(k, "attn", h) for k in range(model.n_layers) for h in range(model.n_heads)]
    mlps = [Component(k, "mlp") for k in range(model.n_layers)]
    state = _State(model, job, items)
    final = Receivers(resid_pre=model.n_layers)
    state.each(lambda bench: state.score(bench, "heads", heads, final, hold_mlps=False))
    for item in state.zero:
        prepared.leave_out(item.case.fact, zero_metric(item, "logit_diff"))
    leave_out_tiny(state.traced, prepared, "logit_diff", MIN_DIFFERENCE)
    prepared.cases = [case for case in prepared.cases if case.fact.id in state.traced]
    require_cases(prepared)
    weights = difference_weights([state.traced[c.fact.id] for c in prepared.cases])
    mean = weights @ np.stack([state.scores[c.fact.id, "heads"] for c in prepared.cases])
    extraction = np.argsort(-np.abs(mean))[:top_heads]
    star = min(heads[i].layer for i in extraction)
    reach = Receivers(resid_pre=star)
    state.each(lambda bench: state.score(bench, "mlps", mlps[:star], reach, hold_mlps=True))
    for case in prepared.cases:
        values = np.zeros(model.n_layers)
        values[:star] = state.scores.get((case.fact.id, "mlps"), np.zeros(0))
        state.traced[case.fact.id].components = {
            str(c): float(v) for c, v in zip(mlps, values, strict=True)
        }
    return _findings(model, prepared, state, mean, star, threshold, [heads[i] for i in extraction])


class _State:
    def __init__(self, model: Model, job: Job, items: Sequence[Corrupted]) -> None:
        self.model, self.job = model, job
        self.items = sorted(items, key=lambda item: item.case.length)
        self.scores: dict[tuple[str, str], np.ndarray] = {}
        self.traced: dict[str, Traced] = {}
        self.zero: list[Corrupted] = []
        self.operations = 0

    def each(self, run: Callable[[Bench], None]) -> None:
        """Run clean and corrupted prompts of every batch, and do something with them."""

        def one(items: list[Corrupted]) -> None:
            bench = make_bench(self.model, items, "logit_diff", NEEDED)
            run(bench)
            self.operations += bench.base.operations

        size = facts_per_batch(self.model, self.items, self.model.n_heads * self.model.n_layers)
        in_batches(self.model, "paths", self.items, size, one)

    def score(
        self,
        bench: Bench,
        name: str,
        senders: Sequence[Component],
        receivers: Receivers,
        hold_mlps: bool,
    ) -> None:
        """Score each sender as its share of the difference between clean and corrupted metric."""
        effects = path_effects(bench, [(c,) for c in senders], receivers, hold_mlps)
        for i, item in enumerate(bench.items):
            difference = bench.clean[i] - bench.corrupted[i]
            if abs(difference) < 1e-6:
                if item not in self.zero:
                    self.zero.append(item)
                continue
            self.scores[item.case.fact.id, name] = effects[i] / difference
            if item.case.fact.id not in self.traced:
                clean, corrupted = float(bench.clean[i]), float(bench.corrupted[i])
                self.traced[item.case.fact.id] = Traced(item.case, clean, corrupted)
        self.job.report.progress(
            len(self.scores) / (2 * len(self.items)), f"paths from {name} patched"
        )


def _findings(
    model: Model,
    prepared: Prepared,
    state: _State,
    heads_mean: np.ndarray,
    star: int,
    threshold: float,
    extraction: Sequence[Component],
) -> Findings:
    traced = ordered(state.traced, prepared)
    found = build_findings(
        model,
        traced,
        prepared,
        method="fact_lookup",
        metric="logit_diff",
        unit="share of clean minus corrupted",
        direction="Direct effect of an MLP's clean output on the input of the first extraction "
        "layer: positive brings the answer back.",
        operations=state.operations,
        weights=difference_weights(traced),
    )
    grid = heads_mean.reshape(model.n_layers, model.n_heads)
    axes = (Axis(name="layer"), Axis(name="head"))
    title = "Heads: effect on the final residual, not through other heads"
    found.arrays["path.heads"] = Array(grid, axes, "share", title, signed=True)
    scores = found.arrays["components"].values
    names = found.arrays["components"].axes[0].labels or ()
    chosen = [name for name, score in zip(names, scores, strict=True) if abs(score) > threshold]
    assert found.attribution is not None
    mask = suggest(model, chosen, f"fact_lookup: |direct effect| > {threshold:g}")
    found.attribution = found.attribution.model_copy(update={"suggested": mask})
    found.summary |= {
        "lookup.extraction_heads": ",".join(f"{c.layer}.{c.head}" for c in extraction),
        "lookup.first_extraction_layer": star,
        "lookup.layers": ",".join(name.split(".")[1] for name in chosen),
    }
    found.caption = (
        f"The {len(extraction)} heads that extract the answer begin in layer {star}; "
        f"{len(chosen)} MLPs before it carry more than {threshold:.0%} of the difference directly "
        f"to it: layers {found.summary['lookup.layers'] or 'none'}."
    )
    return found
