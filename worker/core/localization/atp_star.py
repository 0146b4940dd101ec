"""Attribution patching with its two known blind spots mended: saturated attention and cancellation.

1. As in attribution patching, two runs and gradients on the corrupted one give first-order
   estimates for every MLP and head.
2. QK fix: for queries and keys the gradient through a saturated softmax is near zero. Instead the
   attention is computed again with clean queries (or keys) on corrupted inputs, and the change of
   its output meets the gradient there: only what follows is linear.
3. GradDrop: a direct and an indirect effect of opposite sign can cancel. Gradients are taken once
   per layer with that layer's backward path cut, which leaves the layer's own components none; a
   component's score, and a query's, key's or value's, is the sum of the absolute estimates over
   L − 1, the mean over the layers other than its own.

Paper: Kramár et al. 2024, AtP*: An efficient and scalable method for localizing LLM behaviour.

Departures: keys are patched at all positions together, where the paper patches them one by one.
Without GradDrop, or in a model of one layer, scores keep their sign.

Limits: one backward pass per layer; MLPs remain linear estimates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.facts import Fact
from worker.contract.result import Axis
from worker.core.findings import Array, Findings, Job
from worker.core.localization._qk_fix import SITES, attention_with_parts, run_clean
from worker.core.models.gradients import Gradients, dropped_gradients, gradients
from worker.core.models.model import Model
from worker.core.models.operations import forward_operations
from worker.core.models.projections import PARTS, Part, n_parts
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import Corrupted
from worker.core.patching.metric import CHANGES, SIZES
from worker.core.patching.outcome import component_names
from worker.core.patching.pairing import make_pairs

TITLE = "Attribution patching, corrected (AtP*)"
PAPER = "https://arxiv.org/abs/2403.00745"
Estimates = dict[str, Tensor]
"""Site or part -> an estimate per row, layer and head."""


class Options(ComparisonOptions):
    """Both mends are on."""

    qk_fix: bool = Field(True, description="Recompute the softmax for queries and keys.")
    grad_drop: bool = Field(True, description="Average absolute scores over cut layers.")
    batch_size: int = Field(16, ge=1, le=1024, description="Facts per batch; halved if too many.")


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Attribute each fact; see the module's docstring."""
    facing = Comparison(model, facts, options, job)
    run = _Run(facing, options)
    facing.run("attribution", options.batch_size, run.attribute)
    unit = (SIZES if run.dropping else CHANGES)[options.metric]
    findings = facing.findings(
        "atp_star",
        "Mean absolute estimate over cut layers."
        if run.dropping
        else "(clean − corrupted) times gradient: positive speaks for the answer.",
        unit=unit,
    )
    for part, values in run.nodes.items():
        scores = np.mean(list(values.values()), axis=0)
        axes = (Axis(name="layer"), Axis(name="head"))
        title = {"q": "Queries", "k": "Keys", "v": "Values"}[part]
        findings.arrays[f"nodes.{part}"] = Array(scores, axes, unit, title, signed=not run.dropping)
    found = findings.summary
    findings.caption = (
        f"AtP* over {len(facing.traced)} facts: largest MLP {found['components.top_mlp']} "
        f"({found['components.top_mlp_score']:.3f}), largest head {found['components.top_head']} "
        f"({found['components.top_head_score']:.3f}), as {unit}."
    )
    return findings


class _Run:
    def __init__(self, facing: Comparison, options: Options) -> None:
        self.facing, self.options, self.model = facing, options, facing.model
        self.nodes: dict[Part, dict[str, np.ndarray]] = {}
        self.names = component_names(self.model, heads=True)
        self.dropping = options.grad_drop and self.model.n_layers > 1

    def attribute(self, items: list[Corrupted]) -> None:
        """Attribute some facts together."""
        pairs = make_pairs(self.model, items)
        projected, clean = run_clean(self.model, pairs)
        mixed = attention_with_parts(self.model, pairs, projected) if self.options.qk_fix else {}

        def measure(logits: Tensor) -> Tensor:
            return pairs.measure(self.options.metric, logits, clean["logits"][0])

        args = (self.model, pairs.batch, pairs.corrupted, list(SITES), measure)
        plain = gradients(*args)
        taken = dropped_gradients(*args) if self.dropping else [plain]
        estimates = self._averaged(
            self._scores(found, clean) | self._nodes(found, mixed) for found in taken
        )
        scores = {name: pairs.by_fact(rows) for name, rows in estimates.items()}
        logits = (clean["logits"][0], plain.activations.logits)
        changes = pairs.changes(self.options.metric, *logits, self.model.dtype)
        rows, positions = pairs.clean.shape[:2]
        passes = 4 + 2 * self.model.n_layers * self.options.grad_drop
        self.facing.operations += passes * forward_operations(self.model, rows, positions)
        for i, item in enumerate(items):
            one = self.facing.keep(item, changes[i])
            if one is None:
                continue
            one.components = {name: float(_of(name, scores)[i]) for name in self.names}
            for part in PARTS if mixed else ():
                self.nodes.setdefault(part, {})[item.case.fact.id] = scores[part][i]
        self.facing.tell()

    def _averaged(self, each: Iterable[Estimates]) -> Estimates:
        """Sum the absolute estimates of all cuts over L − 1; one estimate without cuts as it is."""
        if not self.dropping:
            (only,) = each
            return only
        total: Estimates = {}
        for found in each:
            for name, rows in found.items():
                total[name] = total.get(name, 0) + rows.abs() / (self.model.n_layers - 1)
        return total

    def _scores(self, slopes: Gradients, clean: dict[str, list[Tensor]]) -> Estimates:
        """Site -> (row, layer, head), one head where there are none."""
        corrupted = slopes.activations.sites
        found: Estimates = {}
        for site in SITES:
            heads = self.model.n_heads if site == "z" else 1
            each = [
                ((c - n) * g).float().unflatten(-1, (heads, -1)).sum((1, -1))
                for c, n, g in zip(clean[site], corrupted[site], slopes.sites[site], strict=True)
            ]
            found[site] = torch.stack(each, dim=1)
        return found

    def _nodes(self, slopes: Gradients, mixed: dict[tuple[Part, int], Tensor]) -> Estimates:
        """Part -> (row, layer, head of that part); nothing where no attention was recomputed."""
        corrupted = slopes.activations.sites["z"]
        found: Estimates = {}
        for part in PARTS if mixed else ():
            each = [
                ((mixed[part, layer] - z) * g).float().unflatten(-1, (self.model.n_heads, -1))
                for layer, (z, g) in enumerate(zip(corrupted, slopes.sites["z"], strict=True))
            ]
            by_head = torch.stack([e.sum((1, -1)) for e in each], dim=1)
            heads = n_parts(self.model, part)  # one key serves all heads of its group
            found[part] = by_head.unflatten(-1, (heads, -1)).sum(-1)
        return found


def _of(name: str, scores: Mapping[str, np.ndarray]) -> np.ndarray:
    part = name.split(".")
    layer = int(part[1])
    if len(part) > 3:
        return scores["z"][:, layer, int(part[4])]
    return scores["attn_write" if part[2] == "attn" else "mlp_write"][:, layer, 0]
