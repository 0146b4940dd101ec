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

from worker.contract.facts import Fact
from worker.contract.result import Axis
from worker.contract.units import SHARE_OF_DIFFERENCE, metric_words
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.restart import Patch, PatchSite
from worker.core.patching.bench import Bench, facts_per_batch, make_bench
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import Corrupted
from worker.core.patching.outcome import PADDING, Traced, component_names, kind_of, stack
from worker.core.patching.shares import (
    DESCRIPTION,
    MIN_DIFFERENCE,
    difference_weights,
    leave_out_tiny,
)
from worker.core.patching.told_rows import SHOWN_FACTS, row_reporter
from worker.core.patching.tracing import component_patch, needed_sites, patch_grid, patch_whole

TITLE = "Activation patching"
PAPER = "https://arxiv.org/abs/2404.15255"
Place = Literal["resid", "mlp", "attn", "head"]
_SITES: dict[str, PatchSite] = {"resid": "resid_post", "mlp": "mlp", "attn": "attn"}


class Options(ComparisonOptions):
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
    min_difference: float = Field(MIN_DIFFERENCE, ge=0, lt=1, description=DESCRIPTION)


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Patch each fact; see the module's docstring."""
    facing = Comparison(model, facts, options, job)
    run = _Run(facing, options)
    size = facts_per_batch(model, facing.items, max(len(run.patches), len(run.single)))
    facing.run("patching", size, run.patch)
    leave_out_tiny(facing.traced, facing.prepared, options.metric, options.min_difference)
    traced = facing.settle()
    does = "restores" if options.direction == "denoising" else "destroys"
    findings = facing.findings(
        "activation_patching",
        f"Share of the clean metric that the patch {does}: positive speaks for the answer, 1 is "
        f"all of it.",
        unit=SHARE_OF_DIFFERENCE,
        weights=difference_weights(traced),
    )
    if run.by_head:
        findings.arrays["positions.head"] = _by_position(run, traced)
    found = findings.summary
    findings.caption = (
        f"Patching {len(traced)} facts ({options.direction}): {found['components.top_mlp']} by "
        f"itself {does} {found['components.top_mlp_score']:.0%} of the difference in "
        f"{metric_words(options.metric)} between the prompts, {found['components.top_attn']} "
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
    return Array(grid, axes, SHARE_OF_DIFFERENCE, "Heads by position", signed=True, gaps=PADDING)


class _Run:
    def __init__(self, facing: Comparison, options: Options) -> None:
        self.facing, self.options, self.model = facing, options, facing.model
        model = self.model
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
        unchanged = [change.is_none for change in bench.changes]
        scale = np.where(unchanged, np.nan, -differences if bench.noising else differences)
        shown = max(0, SHOWN_FACTS - len(self.facing.traced))
        grids = patch_grid(
            bench,
            self.patches,
            lambda share: self.facing.tell(share * len(items)),
            row_reporter(
                self.facing.job.report, bench, self.sites, shown, SHARE_OF_DIFFERENCE, scale
            ),
        )
        whole = patch_whole(bench, self.single)
        self.facing.operations += bench.base.operations
        for i in range(len(items)):
            self._keep(bench, i, grids[i, :, bench.offsets[i] :] / scale[i], whole[i] / scale[i])

    def _keep(self, bench: Bench, i: int, grid: np.ndarray, scores: np.ndarray) -> None:
        item = bench.items[i]
        traced = self.facing.keep(item, bench.changes[i])
        if traced is None:
            return
        n_rows = len(self.sites) * self.model.n_layers
        if self.sites:
            by_site = grid[:n_rows].reshape(len(self.sites), self.model.n_layers, -1)
            traced.grids = dict(zip(self.sites, by_site, strict=True))
        self.head_grids[item.case.fact.id] = grid[n_rows:]
        traced.components = dict(zip(self.names, scores.tolist(), strict=True))
