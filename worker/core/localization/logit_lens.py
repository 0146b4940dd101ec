"""Reads the residual stream after every layer as if it were the last, through the unembedding.

1. Each fact's prompt is run once; the residual stream after every block is kept.
2. Final norm and unembedding are applied to it at every layer and position, and the answer's
   probability (or its logit over the edit target's) is read.
3. A component's score is what its output changes of this reading at the last position: after the
   attention minus before it, after the MLP minus after the attention.

Paper: nostalgebraist 2020, interpreting GPT: the logit lens.

Departures: none known. Norm, soft cap and scaling are the model's own, applied without folding.

Limits: early layers need not speak the unembedding's language, so a blank reading does not mean
that nothing is known there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from worker.contract import base
from worker.contract.facts import Fact
from worker.contract.units import metric_words
from worker.core.findings import Findings, Job
from worker.core.models.base_run import BaseRun, run_base
from worker.core.models.batches import in_batches
from worker.core.models.model import Model
from worker.core.models.suffix import unembed
from worker.core.models.tokens import pad
from worker.core.patching import metric as _metric
from worker.core.patching.cases import Case, prepare
from worker.core.patching.metric import CHANGES, measure
from worker.core.patching.outcome import Traced, build_findings, ordered
from worker.core.patching.told_rows import SHOWN_FACTS, report_rows

TITLE = "Logit lens"
PAPER = "https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens"


class Options(base.Options):
    """The reading."""

    metric: Literal["probability", "logit_diff"] = Field(
        "probability", description=_metric.DESCRIPTION
    )
    batch_size: int = Field(8, ge=1, le=1024, description="Facts per batch; halved if too many.")
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Read each fact; see the module's docstring."""
    prepared = prepare(model, facts, options.min_probability, options.metric == "logit_diff")
    traced: dict[str, Traced] = {}
    operations = 0

    def run(cases: list[Case]) -> None:
        nonlocal operations
        lens = run_base(model, pad(model, [case.prompt for case in cases]), sites=["mlp_write"])
        for row, case in enumerate(cases):
            one = _read(lens, row, case, options.metric)
            if len(traced) < SHOWN_FACTS:
                unit = metric_words(options.metric)
                report_rows(job.report, case, "resid", one.grids["resid"], unit)
            traced[case.fact.id] = one
        operations += lens.operations
        n = len(prepared.cases)
        job.report.progress(len(traced) / n, f"{len(traced)} of {n} facts read")

    by_length = sorted(prepared.cases, key=lambda case: case.length)
    in_batches(model, "lens", by_length, options.batch_size, run)
    findings = build_findings(
        model,
        ordered(traced, prepared),
        prepared,
        method="logit_lens",
        metric=options.metric,
        unit=CHANGES[options.metric],
        grid_unit=metric_words(options.metric),
        direction="Reading of the residual stream through the unembedding; a component's score is "
        "what it adds to the reading at the last position.",
        operations=operations,
    )
    last = np.nanmean([t.grids["resid"][:, -1] for t in traced.values()], axis=0)
    half = int(np.argmax(last >= last[-1] / 2))
    findings.caption = (
        f"Read at the last position of {len(traced)} facts, the answer has a "
        f"{metric_words(options.metric)} of {last[-1]:.3f} after the last layer and half of it "
        f"after layer {half}."
    )
    return findings


@torch.no_grad()
def _read(
    lens: BaseRun, row: int, case: Case, metric: Literal["probability", "logit_diff"]
) -> Traced:
    offset = lens.n_positions - case.length
    n_layers = lens.model.n_layers
    after = torch.stack([resid[row, offset:] for resid in lens.resid[1:]])
    middle = after[:, -1] - torch.stack([mlp[row, -1] for mlp in lens.sites["mlp_write"]])
    before = torch.stack([resid[row, -1] for resid in lens.resid[:-1]])
    rows = torch.cat([after.flatten(0, 1), middle, before])
    logits = unembed(lens, rows)
    answers = torch.full((len(rows),), case.answer, device=logits.device)
    foils = None if case.foil is None else torch.full_like(answers, case.foil)
    values = measure(metric, logits, answers, foils).double().cpu().numpy()
    grid = values[: -2 * n_layers].reshape(n_layers, case.length)
    mid, pre = values[-2 * n_layers : -n_layers], values[-n_layers:]
    traced = Traced(case, float(grid[-1, -1]), grids={"resid": grid})
    for layer in range(n_layers):
        traced.components[f"blocks.{layer}.attn"] = float(mid[layer] - pre[layer])
        traced.components[f"blocks.{layer}.mlp"] = float(grid[layer, -1] - mid[layer])
    return traced
