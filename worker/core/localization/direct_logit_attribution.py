"""Splits the answer's logit over the foil's into what each component writes to the last position.

1. Each fact's prompt is run once; what every MLP, attention and head adds to the residual stream at
   the last position is kept.
2. Each part goes through the final norm, its scale frozen at that of the whole, and is projected on
   the difference of the answer's and the edit target's unembeddings.
3. The parts, the embeddings' among them, add up to the logit difference before any soft cap.

Paper: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits.

Departures: none known. Weights are not folded; the norm's gain and centring are applied as they
are. Head outputs pass through the attention's post-norm, where there is one, its scale frozen.

Limits: direct effects only; a component that works through later ones scores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract import base
from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.base_run import BaseRun, run_base
from worker.core.models.batches import in_batches
from worker.core.models.model import Model
from worker.core.models.tokens import pad
from worker.core.patching.cases import Case, prepare
from worker.core.patching.direct import head_writes, pulled_back, require_sum, unembedding_of
from worker.core.patching.outcome import Traced, build_findings, ordered

TITLE = "Direct logit attribution"
PAPER = "https://transformer-circuits.pub/2021/framework/index.html"


class Options(base.Options):
    """How facts are chosen and batched."""

    batch_size: int = Field(32, ge=1, le=1024, description="Facts per batch; halved if too many.")
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Split each fact's logit difference; see the module's docstring."""
    prepared = prepare(model, facts, options.min_probability, needs_foil=True)
    traced: dict[str, Traced] = {}
    operations = 0

    def run(cases: list[Case]) -> None:
        nonlocal operations
        found = run_base(
            model, pad(model, [c.prompt for c in cases]), sites=["attn_write", "mlp_write", "z"]
        )
        traced.update({c.fact.id: t for c, t in zip(cases, _split(found, cases), strict=True)})
        operations += found.operations
        n = len(prepared.cases)
        job.report.progress(len(traced) / n, f"{len(traced)} of {n} facts split")

    by_length = sorted(prepared.cases, key=lambda case: case.length)
    in_batches(model, "split", by_length, options.batch_size, run)
    findings = build_findings(
        model,
        ordered(traced, prepared),
        prepared,
        method="direct_logit_attribution",
        metric="logit_diff",
        unit="part of the logit difference",
        direction="What a component adds to the answer's logit over the edit target's: positive "
        "speaks for the answer.",
        operations=operations,
    )
    found = findings.summary
    findings.caption = (
        f"Of a mean logit difference of {found['metric.clean']:.2f} over {len(traced)} facts, "
        f"{found['components.top_mlp']} writes {found['components.top_mlp_score']:+.2f} and "
        f"{found['components.top_head']} {found['components.top_head_score']:+.2f} of it directly."
    )
    return findings


@torch.no_grad()
def _split(run: BaseRun, cases: Sequence[Case]) -> list[Traced]:
    model = run.model
    require_sum(run)
    direction = _direction(run, cases)
    parts: dict[str, Tensor] = {}
    for layer in range(model.n_layers):
        attn, mlp = (run.sites[site][layer][:, -1].float() for site in ("attn_write", "mlp_write"))
        parts[f"blocks.{layer}.attn"] = (attn * direction).sum(-1)
        for head, change in enumerate(head_writes(run, layer)):
            parts[f"blocks.{layer}.attn.head.{head}"] = (change * direction).sum(-1)
        parts[f"blocks.{layer}.mlp"] = (mlp * direction).sum(-1)
    clean = run.logits.gather(-1, _tokens(run, cases)).diff(dim=-1)[:, 0].neg()
    return [
        Traced(
            case,
            float(clean[i]),
            components={name: float(v[i]) for name, v in parts.items()},
        )
        for i, case in enumerate(cases)
    ]


def _tokens(run: BaseRun, cases: Sequence[Case]) -> Tensor:
    return torch.tensor([[c.answer, c.foil] for c in cases], device=run.logits.device)


def _direction(run: BaseRun, cases: Sequence[Case]) -> Float[Tensor, "row d_model"]:
    """The residual direction that raises the answer over the foil, the norm's scale frozen."""
    unembedding = unembedding_of(run.model)[_tokens(run, cases)].float()
    return pulled_back(run, unembedding[:, 0] - unembedding[:, 1])
