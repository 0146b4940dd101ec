"""Corrupts the subject, restores one hidden state at a time, and sees where the answer comes back.

1. The clean prompt and corrupted copies of it (by default ten draws of Gaussian noise on the
   subject's embeddings) are run once.
2. For every layer and position, the corrupted run is repeated with the state at that place put
   back to its clean value: the residual stream after the block, or the outputs of the MLPs or
   attentions in a window of layers centred there.
3. The score is the metric (by default the answer's probability) so restored, minus that of the
   corrupted run, averaged over the draws: the indirect effect.
4. A component's score is the indirect effect of restoring that one MLP, attention or head at every
   position.

Paper: Meng et al. 2022, Locating and Editing Factual Associations in GPT (ROME), section 2.

Departures: the answer is the fact's target, and facts that the model does not know are left out,
where ROME takes the model's own first choice where it is right. The windows cover the same share of
the layers as ROME's ten of GPT-2 XL's 48, because a window of ten would be all of a small model.
Only the first token of the answer is scored. Values are those of full forwards; see
`worker/core/models/restart.py` for what is spared.

Limits: restoring shows that a state suffices for the answer, not that it is needed, and does not
always tell where an edit works best (Hase et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.models.restart import Patch, PatchSite
from worker.core.patching.bench import Bench, facts_per_batch, make_bench
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import DESCRIPTIONS, Corrupted, Corruption
from worker.core.patching.metric import CHANGES, DESCRIPTION, Metric
from worker.core.patching.outcome import component_names
from worker.core.patching.told_rows import SHOWN_FACTS, row_reporter
from worker.core.patching.tracing import component_patch, needed_sites, patch_grid, patch_whole

TITLE = "Causal tracing"
PAPER = "https://arxiv.org/abs/2202.05262"
_SITES: dict[str, PatchSite] = {"resid": "resid_post", "mlp": "mlp", "attn": "attn"}


class Options(ComparisonOptions):
    """Defaults are ROME's."""

    sites: tuple[Literal["resid", "mlp", "attn"], ...] = Field(
        ("resid", "mlp", "attn"),
        min_length=1,
        description="What is restored: the residual stream, MLP outputs, attention outputs.",
    )
    metric: Metric = Field("probability", description=DESCRIPTION)
    corruption: Corruption = Field("noise", description=DESCRIPTIONS)
    samples: int = Field(
        10, ge=1, le=100, description="Corrupted copies of each prompt (ROME: 10)."
    )
    noise_level: float = Field(
        3.0,
        gt=0,
        le=100,
        description="Noise in standard deviations of the subjects' embeddings (ROME: 3).",
    )
    window: int | None = Field(
        None,
        ge=1,
        le=200,
        description="Layers restored together for MLP and attention grids; empty takes the share "
        "that ROME's ten are of GPT-2 XL's 48 layers, at least 1 and at most 10.",
    )
    heads: bool = Field(False, description="Also score single attention heads (slower).")


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Trace each fact; see the module's docstring."""
    facing = Comparison(model, facts, options, job, or_random=False)
    run = _Run(facing, options)
    facing.run("tracing", facts_per_batch(model, facing.items, run.n_patches), run.trace)
    findings = facing.findings(
        "causal_tracing",
        "Indirect effect of restoring the clean state in the corrupted run: positive brings the "
        "answer back.",
    )
    findings.summary["window"] = window(model, options)
    findings.caption = _caption(findings, len(facing.traced))
    return findings


def window(model: Model, options: Options) -> int:
    """Choose how many layers are restored together."""
    return options.window or min(10, max(1, round(model.n_layers * 10 / 48)))


class _Run:
    """A tracing under way: what is patched, and what was found so far."""

    def __init__(self, facing: Comparison, options: Options) -> None:
        self.facing, self.options, self.model = facing, options, facing.model
        model = self.model
        size = window(model, options)
        self.patches = [
            _window_patch(_SITES[site], layer, size, model.n_layers)
            for site in options.sites
            for layer in range(model.n_layers)
        ]
        self.names = component_names(model, options.heads)
        self.single = [component_patch(name) for name in self.names]
        self.n_patches = max(len(self.patches), len(self.single))

    def trace(self, items: list[Corrupted]) -> None:
        """Trace some facts together."""
        sites = needed_sites([*self.patches, *self.single])
        bench = make_bench(self.model, items, self.options.metric, sites)
        shown = max(0, SHOWN_FACTS - len(self.facing.traced))
        grids = patch_grid(
            bench,
            self.patches,
            lambda share: self.facing.tell(share * len(items)),
            row_reporter(
                self.facing.job.report,
                bench,
                self.options.sites,
                shown,
                CHANGES[self.options.metric],
            ),
        )
        components = patch_whole(bench, self.single)
        self.facing.operations += bench.base.operations
        for i, item in enumerate(items):
            self._keep(item, grids[i, :, bench.offsets[i] :], components[i], bench, i)

    def _keep(
        self, item: Corrupted, grid: np.ndarray, scores: np.ndarray, bench: Bench, i: int
    ) -> None:
        by_site = grid.reshape(len(self.options.sites), self.model.n_layers, -1)
        traced = self.facing.keep(item, bench.changes[i])
        if traced is None:
            return
        for site, values in zip(self.options.sites, by_site, strict=True):
            traced.grids[site] = values
        traced.components = dict(zip(self.names, scores.tolist(), strict=True))


def _window_patch(site: PatchSite, layer: int, size: int, n_layers: int) -> Patch:
    if site == "resid_post":
        return Patch(site, layer)
    start = max(0, layer - size // 2)
    return Patch(site, start, stop=min(n_layers, max(layer - size // 2 + size, start + 1)))


def _caption(findings: Findings, n_facts: int) -> str:
    found = findings.summary
    return (
        f"Restoring single states in {n_facts} facts with a corrupted subject. Of the MLPs, "
        f"{found['components.top_mlp']} alone brings the largest part of the answer back "
        f"({found['components.top_mlp_score']:+.3f} {found['components.unit']}). What is measured "
        f"is {found['metric.clean']:.3f} on the clean prompt and "
        f"{found['metric.corrupted']:.3f} on the corrupted one."
    )
