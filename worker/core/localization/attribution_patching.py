"""Estimates from one gradient what restoring every activation would do.

1. Each fact's prompt and a corrupted one of the same length (another subject with another answer,
   or random tokens) are run, with the activations after every block, MLP, attention and head kept.
2. One backward pass gives the metric's gradient at all of them, on the clean or the corrupted run.
3. The score of an activation is (clean − corrupted) times gradient, summed over its entries: the
   first-order estimate of the change of the metric when it alone is restored.
4. A component's score is the sum over positions of its output's scores.

Paper: Nanda 2023, Attribution Patching; Syed et al. 2023, Attribution Patching Outperforms
Automated Circuit Discovery.

Departures: the direction is an option. Nanda's library takes gradients on the corrupted run,
Mechanistic Unlearning (Guo et al. 2024) on the clean one with the opposite sign; here a positive
score always means that the clean activation speaks for the answer. Heads are scored at their own
output, before the output projection, which gives the same numbers as after it and works under
grouped-query attention. Outputs are taken as they are added to the residual stream: after the
post-norm, where there is one.

Limits: a first-order estimate. It fails where the answer saturates: with gradients on a clean run
whose softmax is flat, scores vanish; take the logit difference there, as by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.gradients import Gradients, activations, gradients
from worker.core.models.model import Model
from worker.core.models.operations import forward_operations
from worker.core.models.sites import Site
from worker.core.patching.change import Change
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import Corrupted
from worker.core.patching.metric import CHANGES
from worker.core.patching.outcome import component_names
from worker.core.patching.pairing import PairBatch, make_pairs
from worker.core.patching.told_rows import SHOWN_FACTS, report_rows

TITLE = "Attribution patching"
PAPER = "https://arxiv.org/abs/2310.10348"
SITES: dict[str, Site] = {"resid": "resid_post", "mlp": "mlp_write", "attn": "attn_write"}


class Options(ComparisonOptions):
    """Defaults compare the answer with the edit target, gradients on the corrupted run."""

    direction: Literal["corrupted", "clean"] = Field(
        "corrupted", description="The run on which gradients are taken."
    )
    batch_size: int = Field(16, ge=1, le=1024, description="Facts per batch; halved if too many.")


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Attribute each fact; see the module's docstring."""
    if options.metric == "kl" and options.direction == "clean":
        raise UserError(
            "The metric kl has gradient zero on the clean run, so every score would be zero; "
            "expected direction corrupted. Change the direction or the metric.",
            field="options.direction",
        )
    facing = Comparison(model, facts, options, job)
    facing.run("attribution", options.batch_size, _Run(facing, options).attribute)
    findings = facing.findings(
        "attribution_patching",
        f"(clean − corrupted) times gradient on the {options.direction} run: positive speaks for "
        f"the answer.",
    )
    hows = [item.how for item in facing.items]
    findings.summary |= {f"corruption.{how}": hows.count(how) for how in sorted(set(hows))}
    found = findings.summary
    findings.caption = (
        f"First-order estimates for {len(facing.traced)} facts. Largest MLP: "
        f"{found['components.top_mlp']} ({found['components.top_mlp_score']:+.3f}); largest head: "
        f"{found['components.top_head']} ({found['components.top_head_score']:+.3f}), as "
        f"{CHANGES[options.metric]}."
    )
    return findings


class _Run:
    def __init__(self, facing: Comparison, options: Options) -> None:
        self.facing, self.options, self.model = facing, options, facing.model
        self.names = component_names(self.model, heads=True)

    def attribute(self, items: list[Corrupted]) -> None:
        """Attribute some facts together: two forwards and one backward."""
        pairs = make_pairs(self.model, items)
        keep: list[Site] = [*SITES.values(), "z"]
        on_clean = self.options.direction == "clean"
        here, there = (pairs.clean, pairs.corrupted) if on_clean else (pairs.corrupted, pairs.clean)
        other = activations(self.model, pairs.batch, there, keep)
        clean_logits = other.logits if not on_clean else None

        def measure(logits: Tensor) -> Tensor:
            reference = logits.detach() if clean_logits is None else clean_logits
            return pairs.measure(self.options.metric, logits, reference)

        slopes = gradients(self.model, pairs.batch, here, keep, measure)
        logits = (slopes.activations.logits, other.logits)
        ends = logits if on_clean else logits[::-1]
        changes = pairs.changes(self.options.metric, *ends, self.model.dtype)
        self._score(pairs, slopes, other.sites, -1.0 if not on_clean else 1.0, changes)
        rows, positions = here.shape[:2]
        # A backward through activations alone costs as much as a forward.
        self.facing.operations += 3 * forward_operations(self.model, rows, positions)
        self.facing.tell()

    def _score(
        self,
        pairs: PairBatch,
        slopes: Gradients,
        other: dict[Site, list[Tensor]],
        sign: float,
        changes: Sequence[Change],
    ) -> None:
        here = slopes.activations.sites
        scores = {
            site: torch.stack(
                [
                    sign
                    * ((a - b) * g).float().unflatten(-1, (_groups(self.model, site), -1)).sum(-1)
                    for a, b, g in zip(here[site], other[site], slopes.sites[site], strict=True)
                ],
                dim=1,
            )
            for site in other
        }
        per_fact = {site: pairs.by_fact(values) for site, values in scores.items()}
        for i, item in enumerate(pairs.items):
            own = {site: values[i][:, pairs.offsets[i] :] for site, values in per_fact.items()}
            self._keep(item, own, changes[i])

    def _keep(self, item: Corrupted, own: dict[Site, np.ndarray], change: Change) -> None:
        traced = self.facing.keep(item, change)
        if traced is None:
            return
        for name, site in SITES.items():
            traced.grids[name] = own[site][..., 0]
            if len(self.facing.traced) <= SHOWN_FACTS:
                grid, unit = own[site][..., 0], CHANGES[self.options.metric]
                report_rows(self.facing.job.report, item.case, name, grid, unit)
        whole = {name: own[site][..., 0].sum(1) for name, site in SITES.items()}
        heads = own["z"].sum(1)
        for name in self.names:
            part = name.split(".")
            layer = int(part[1])
            score = heads[layer, int(part[4])] if len(part) > 3 else whole[part[2]][layer]
            traced.components[name] = float(score)


def _groups(model: Model, site: Site) -> int:
    return model.n_heads if site == "z" else 1
