"""The path-patching half of fact lookup: from extraction heads back to the MLPs that feed them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worker.contract.components import Component
from worker.contract.facts import Fact
from worker.contract.result import Axis
from worker.contract.units import SHARE_OF_DIFFERENCE
from worker.core.findings import Array, Findings, Job
from worker.core.localization._redraw import hanging, redraw
from worker.core.models.model import Model
from worker.core.models.paths import NEEDED, Receivers
from worker.core.patching.bench import Bench, facts_per_batch, make_bench
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import Corrupted, Corruption
from worker.core.patching.path_effects import path_effects
from worker.core.patching.shares import (
    MIN_DIFFERENCE,
    difference_weights,
    leave_out_tiny,
)
from worker.core.patching.suggest import suggest


def find_by_paths(
    model: Model,
    facts: Sequence[Fact],
    job: Job,
    *,
    corruption: Corruption,
    top_heads: int,
    threshold: float,
    min_probability: float,
    keep_raised: bool,
    bootstrap: int,
) -> Findings:
    """Find extraction heads, then the MLPs with a direct effect on their first layer's input."""
    options = ComparisonOptions(
        corruption=corruption, min_probability=min_probability, keep_raised=keep_raised
    )
    facing = Comparison(model, facts, options, job)
    heads = [Component(k, "attn", h) for k in range(model.n_layers) for h in range(model.n_heads)]
    mlps = [Component(k, "mlp") for k in range(model.n_layers)]
    state = _State(facing)
    final = Receivers(resid_pre=model.n_layers)
    state.each(lambda bench: state.score(bench, "heads", heads, final, hold_mlps=False))
    leave_out_tiny(facing.traced, facing.prepared, options.metric, MIN_DIFFERENCE)
    traced = facing.settle()
    weights = difference_weights(traced)
    each = np.stack([state.scores[one.case.fact.id, "heads"] for one in traced])
    mean = weights @ each
    extraction = np.argsort(-np.abs(mean))[:top_heads]
    star = min(heads[i].layer for i in extraction)
    stars = [
        min(heads[i].layer for i in np.argsort(-np.abs(drawn))[:top_heads])
        for drawn in redraw(each, weights, bootstrap, job.seed)
    ]
    reach = Receivers(resid_pre=star)
    state.each(lambda bench: state.score(bench, "mlps", mlps[:star], reach, hold_mlps=True))
    for one in traced:
        values = np.zeros(model.n_layers)
        values[:star] = state.scores.get((one.case.fact.id, "mlps"), np.zeros(0))
        one.components = {str(c): float(v) for c, v in zip(mlps, values, strict=True)}
    found = _findings(facing, mean, star, threshold, [heads[i] for i in extraction])
    return _with_confidence(found, star, stars, threshold, bootstrap, job.seed)


class _State:
    def __init__(self, facing: Comparison) -> None:
        self.facing = facing
        self.scores: dict[tuple[str, str], np.ndarray] = {}

    def each(self, run: Callable[[Bench], None]) -> None:
        """Run clean and corrupted prompts of every batch, and do something with them."""

        def one(items: list[Corrupted]) -> None:
            bench = make_bench(model, items, self.facing.options.metric, NEEDED)
            run(bench)
            self.facing.operations += bench.base.operations

        model = self.facing.model
        size = facts_per_batch(model, self.facing.items, model.n_heads * model.n_layers)
        self.facing.run("paths", size, one)

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
            if self.facing.keep(item, bench.changes[i]) is not None:
                difference = bench.changes[i].difference
                self.scores[item.case.fact.id, name] = effects[i] / difference
        done = len(self.scores) / (2 * len(self.facing.items))
        self.facing.job.report.progress(done, f"paths from {name} patched")


def _findings(
    facing: Comparison,
    heads_mean: np.ndarray,
    star: int,
    threshold: float,
    extraction: Sequence[Component],
) -> Findings:
    model, traced = facing.model, facing.settle()
    found = facing.findings(
        "fact_lookup",
        "Direct effect of an MLP's clean output on the input of the first extraction "
        "layer: positive brings the answer back.",
        unit=SHARE_OF_DIFFERENCE,
        weights=difference_weights(traced),
    )
    grid = heads_mean.reshape(model.n_layers, model.n_heads)
    axes = (Axis(name="layer"), Axis(name="head"))
    title = "Heads: effect on the final residual, not through other heads"
    found.arrays["path.heads"] = Array(grid, axes, SHARE_OF_DIFFERENCE, title, signed=True)
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


def _with_confidence(
    found: Findings, star: int, stars: Sequence[int], threshold: float, samples: int, seed: int
) -> Findings:
    """Add how often draws of the facts choose the same, and what is chosen by next to nothing.

    The extraction layer is drawn anew by itself: MLPs' effects are on the one found over all facts.
    """
    each, mean = found.arrays["components.facts"].values, found.arrays["components"].values
    assert found.attribution is not None
    names = found.arrays["components"].axes[0].labels or ()
    ends = [(fact.clean, fact.corrupted or 0.0) for fact in found.attribution.facts]
    weights = np.array([abs(clean - corrupted) for clean, corrupted in ends])
    drawn = np.abs(redraw(each, weights, samples, seed)) > threshold
    same = float((drawn == (np.abs(mean) > threshold)).all(1).mean())
    layer_axis = (Axis(name="layer"),)
    found.arrays["path.confidence"] = Array(
        drawn.mean(0), layer_axis, "share of draws", "Chosen in bootstrap draws of facts"
    )
    close = hanging(names, np.abs(mean), drawn.mean(0), threshold)
    found.summary |= {
        "lookup.confidence": same if len(each) > 1 else None,
        "lookup.same_extraction_layer": float(np.mean(np.array(stars) == star)),
        "lookup.hanging": ",".join(close),
    }
    sure = (
        f"Of bootstrap draws of the {len(each)} facts {same:.0%} choose the same MLPs, and "
        f"{found.summary['lookup.same_extraction_layer']:.0%} the same extraction layer."
        if len(each) > 1
        else "With one fact nothing tells how sure this is."
    )
    found.caption = " ".join([found.caption, sure, *close.values()])
    if found.attribution.suggested is None:
        refusal = f"No MLP carries more than {threshold:.0%} of the difference."
        found.attribution = found.attribution.model_copy(update={"no_choice": refusal})
    return found
