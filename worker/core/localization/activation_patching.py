"""Swaps activations between a clean and a corrupted prompt and measures what that does.

1. Clean and corrupted prompts of the same length are run once.
2. Denoising: one clean activation at a time goes into the corrupted run. Noising: one corrupted
   activation at a time goes into the clean run. Activations: the residual stream after a block, an
   MLP's or attention's output, a head's output; at one position or at all.
3. The score is the share of the difference between clean and corrupted metric that the patch
   restores (denoising) or destroys (noising).
4. Means over facts weigh each by the size of its difference, so that facts whose corruption hardly
   changes the metric do not drown the others; where it is next to nothing they are left out.

Paper: Heimersheim and Nanda 2024, How to Use and Interpret Activation Patching; Zhang and Nanda
2023, Towards Best Practices of Activation Patching.

Departures: none known. Values are those of full forwards; see `worker/core/models/restart.py`.

Limits: denoising finds what suffices, noising what is needed; with backups they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract import base
from worker.contract.facts import Fact
from worker.contract.result import Axis
from worker.core.findings import Array, Findings, Job
from worker.core.localization import _metric
from worker.core.localization._cases import prepare, require_cases
from worker.core.localization._corruption import DESCRIPTIONS, Corrupted, Corruption, corrupt
from worker.core.localization._metric import Metric
from worker.core.localization._outcome import (
    Traced,
    build_findings,
    component_names,
    kind_of,
    ordered,
    stack,
)
from worker.core.localization._pairing import zero_metric
from worker.core.localization._shares import (
    DESCRIPTION,
    MIN_DIFFERENCE,
    difference_weights,
    leave_out_tiny,
)
from worker.core.localization._tracing import (
    SHOWN_FACTS,
    Bench,
    component_patch,
    facts_per_batch,
    make_bench,
    needed_sites,
    patch_grid,
    patch_whole,
    row_reporter,
)
from worker.core.models.batches import in_batches
from worker.core.models.model import Model
from worker.core.models.restart import Patch, PatchSite

TITLE = "Activation patching"
PAPER = "https://arxiv.org/abs/2404.15255"
Place = Literal["resid", "mlp", "attn", "head"]
_SITES: dict[str, PatchSite] = {"resid": "resid_post", "mlp": "mlp", "attn": "attn"}


class Options(base.Options):
    """Defaults: denoise, compare the answer with the edit target."""

    direction: Literal["denoising", "noising"] = Field(
        "denoising", description="Clean activations into the corrupted run, or the reverse."
    )
    places: Literal["each", "whole"] = Field(
        "each",
        description="each: a heatmap by position, and whole components. whole: components only.",
    )
    sites: tuple[Place, ...] = Field(
        ("resid", "mlp", "attn"),
        min_length=1,
        description="The heatmaps' activations; head: every head at every position (slower).",
    )
    heads: bool = Field(True, description="Also patch single attention heads.")
    metric: Metric = Field("logit_diff", description=_metric.DESCRIPTION)
    corruption: Corruption = Field("other_subject", description=DESCRIPTIONS)
    samples: int = Field(1, ge=1, le=100, description="Corrupted copies of each prompt.")
    noise_level: float = Field(
        3.0, gt=0, le=100, description="Noise in standard deviations of the subjects' embeddings."
    )
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )
    min_difference: float = Field(MIN_DIFFERENCE, ge=0, lt=1, description=DESCRIPTION)


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Patch each fact; see the module's docstring."""
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
    run = _Run(model, options, job, len(items))
    by_length = sorted(items, key=lambda item: item.case.length)
    size = facts_per_batch(model, items, max(len(run.patches), len(run.single)))
    in_batches(model, "patching", by_length, size, run.patch)
    for item in run.zero:
        prepared.leave_out(item.case.fact, zero_metric(item, options.metric))
    leave_out_tiny(run.traced, prepared, options.metric, options.min_difference)
    prepared.cases = [case for case in prepared.cases if case.fact.id in run.traced]
    require_cases(prepared)
    does = "restores" if options.direction == "denoising" else "destroys"
    traced = ordered(run.traced, prepared)
    findings = build_findings(
        model,
        traced,
        prepared,
        method="activation_patching",
        metric=options.metric,
        unit="share of clean minus corrupted",
        direction=f"Share of the clean metric that the patch {does}: positive speaks for the "
        f"answer, 1 is all of it.",
        operations=run.operations,
        weights=difference_weights(traced),
    )
    if run.by_head:
        findings.arrays["positions.head"] = _by_position(run, traced)
    found = findings.summary
    findings.caption = (
        f"Patching {len(run.traced)} facts ({options.direction}): {found['components.top_mlp']} by "
        f"itself {does} {found['components.top_mlp_score']:.0%} of the difference in "
        f"{options.metric}, {found['components.top_attn']} "
        f"{found['components.top_attn_score']:.0%}."
    )
    return findings


def _by_position(run: _Run, traced: Sequence[Traced]) -> Array:
    """Every head at every position, per fact."""
    axes = (
        Axis(name="fact", labels=tuple(one.case.fact.id for one in traced)),
        Axis(name="head", labels=tuple(run.by_head)),
        Axis(name="position"),
    )
    grid = stack([run.head_grids[one.case.fact.id] for one in traced])
    return Array(grid, axes, "share of clean minus corrupted", "Heads by position", signed=True)


class _Run:
    def __init__(self, model: Model, options: Options, job: Job, n_facts: int) -> None:
        self.model, self.options, self.job, self.n_facts = model, options, job, n_facts
        self.traced: dict[str, Traced] = {}
        self.zero: list[Corrupted] = []
        self.operations = 0
        each = options.places == "each"
        self.sites = [site for site in options.sites if site in _SITES] if each else []
        self.by_head = [
            name
            for name in component_names(model, each and "head" in options.sites)
            if kind_of(name) == "head"
        ]
        self.patches = [
            Patch(_SITES[site], layer) for site in self.sites for layer in range(model.n_layers)
        ] + [component_patch(name) for name in self.by_head]
        self.head_grids: dict[str, np.ndarray] = {}
        self.names = component_names(model, options.heads)
        self.single = [component_patch(name) for name in self.names]

    def patch(self, items: list[Corrupted]) -> None:
        """Patch some facts together."""
        needed = needed_sites([*self.patches, *self.single])
        bench = make_bench(self.model, items, self.options.metric, needed)
        bench.noising = self.options.direction == "noising"
        differences = bench.clean - bench.corrupted
        zero = np.abs(differences) < 1e-6
        scale = np.where(zero, np.nan, -differences if bench.noising else differences)
        shown = max(0, SHOWN_FACTS - len(self.traced))
        grids = patch_grid(
            bench,
            self.patches,
            lambda share: self._tell(share, len(items)),
            row_reporter(self.job.report, bench, self.sites, shown, scale),
        )
        whole = patch_whole(bench, self.single)
        self.operations += bench.base.operations
        for i, item in enumerate(items):
            if zero[i]:
                self.zero.append(item)
                continue
            self._keep(bench, i, grids[i, :, bench.offsets[i] :] / scale[i], whole[i] / scale[i])

    def _keep(self, bench: Bench, i: int, grid: np.ndarray, scores: np.ndarray) -> None:
        item = bench.items[i]
        traced = Traced(item.case, float(bench.clean[i]), float(bench.corrupted[i]))
        n_rows = len(self.sites) * self.model.n_layers
        if self.sites:
            by_site = grid[:n_rows].reshape(len(self.sites), self.model.n_layers, -1)
            traced.grids = dict(zip(self.sites, by_site, strict=True))
        self.head_grids[item.case.fact.id] = grid[n_rows:]
        traced.components = dict(zip(self.names, scores.tolist(), strict=True))
        self.traced[item.case.fact.id] = traced

    def _tell(self, share: float, n_items: int) -> None:
        done = (len(self.traced) + share * n_items) / self.n_facts
        self.job.report.progress(done, f"{len(self.traced)} of {self.n_facts} facts patched")
