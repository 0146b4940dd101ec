"""The probing half of fact lookup: accuracy per layer at the subject's last token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.localization._lookup_found import Found, findings
from worker.core.localization._lookup_states import (
    bare,
    encode_probed,
    knowledge,
    residuals,
    sample,
)
from worker.core.localization._probe import held_out, kernels, shuffled
from worker.core.localization._rise import choose_layers, find_rise, heights, intervals, tail
from worker.core.models.model import Model
from worker.core.patching.cases import prepare
from worker.core.patching.shared_answers import MIN_PER_ANSWER, shared_answers

DRAWN = 0.8
"""Share of the facts in each other draw."""


@dataclass(frozen=True)
class Probing:
    """Options of the probing; see `fact_lookup.Options`."""

    n_facts: int
    folds: int
    bootstrap: int
    permutations: int
    draws: int
    max_share: float
    min_probability: float


def find_by_probe(
    model: Model, facts: Sequence[Fact], pool: Sequence[Fact], job: Job, asked: Probing
) -> Findings:
    """Probe every layer, test whether the accuracy rises at all, and choose the lookup layers."""
    classes = shared_answers(facts, pool)
    if not classes:
        raise UserError(
            f"A probe needs two answers or more with at least {MIN_PER_ANSWER} facts each, the "
            f"answers of some chosen facts among them; this set has {len(pool)} facts of "
            f"{len({f.target for f in pool})} answers. Choose path_patching.",
            field="options.by",
        )
    usual = [fact for fact in facts if fact.target.strip() in classes]
    prepared = prepare(model, usual, asked.min_probability, needs_foil=False, required=False)
    for fact in facts:
        if fact not in usual:
            why = f"Fewer than {MIN_PER_ANSWER} facts have the answer {fact.target.strip()!r}."
            prepared.leave_out(fact, f"Not probed: {why}")
    chosen = sample([f for f in pool if f.target.strip() in classes], asked.n_facts, job.seed)
    cases, labels = encode_probed(model, chosen, classes, prepared)
    known = knowledge(model, cases, labels, classes)
    full = kernels(residuals(model, [case.prompt for case in cases], job, (0.2, 0.5)))
    names = residuals(model, [bare(model, case) for case in cases], job, (0.5, 0.7))
    job.report.progress(0.7, f"fitting probes for {len(labels)} facts in {len(full)} places")
    tried = torch.cat([labels[None], shuffled(labels, asked.permutations, job.seed)])
    right = held_out(full, tried, asked.folds, job.seed).numpy()
    alone = held_out(kernels(names), labels[None], asked.folds, job.seed)[0].numpy()
    job.report.progress(0.85, "choosing on other draws of the facts")
    most = max(1, round(asked.max_share * model.n_layers))
    rise = find_rise(right[0])
    rises = heights(right)
    return findings(
        model,
        prepared,
        Found(
            curves={"full_prompt": right[0].mean(1), "bare_name": alone.mean(1)},
            controls=right[1:].mean(2),
            rise=rise,
            layers=choose_layers(right[0].mean(1), rise, most),
            spread=intervals(right[0], asked.bootstrap, job.seed),
            p_value=tail(float(rises[0]), rises[1:]),
            by_chance=float(np.quantile(rises[1:], 0.95)),
            draws=_other_draws(full, labels, asked, most, job.seed),
            known=known,
            needs_known=asked.min_probability > 0,
            n_facts=len(labels),
            n_classes=len(classes),
            longest=max(case.length for case in cases),
        ),
    )


def _other_draws(
    by_depth: list[Float[Tensor, "fact fact"]],
    labels: Int[Tensor, " fact"],
    asked: Probing,
    most: int,
    seed: int,
) -> list[tuple[int, ...]]:
    """Choose again on other draws of the facts, with probes of their own."""
    found = []
    for draw in range(asked.draws):
        generator = torch.Generator().manual_seed(seed * 1000 + draw)
        kept = torch.randperm(len(labels), generator=generator)[: round(DRAWN * len(labels))]
        cut = [kernel[kept][:, kept] for kernel in by_depth]
        right: Bool[np.ndarray, "depth fact"]
        right = held_out(cut, labels[kept][None], asked.folds, seed + draw)[0].numpy()
        found.append(choose_layers(right.mean(1), find_rise(right), most))
    return found
