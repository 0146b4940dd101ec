"""Learns which single weights of the localized components to remove, and removes the fewest.

1. Train the mask's weights W, each held between 0 and its first value W₀ after every step, so that
   m = W/W₀ ∈ [0, 1] is a mask; the forget, retain and general losses as in localized fine-tuning,
   plus β · Σ|W| / Σ|W₀|, which pulls towards masking.
2. Order the weights by m. For each number N of a grid: set the N weights with the smallest m < 1 to
   0 and every other weight to W₀, and probe: a curve over the number of edited weights. Where no
   number of the grid is better than none, smaller ones are tried, by halving.
3. Keep the N with the best product of goal and retention (or the given one).

Source: Guo et al. 2024 (arXiv 2410.12949), weight masking, with SGD of momentum 0.9 and β = 1.5.
Departures: AdamW is the default here, because SGD at the paper's rate hardly moves a small model in
a few steps; the general text's term where it is a divergence (`general_loss`, default on other
models than the bundled; `cross_entropy` gives the paper's). `optimizer: published` takes the
paper's SGD with its own rate, momentum and decay.
Limits: whatever has m = 1 cannot be chosen, so the curve ends where these begin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.errors import Diverged, UserError
from worker.contract.mask import Mask
from worker.contract.result import Axis
from worker.contract.selection import Selection
from worker.core.editing.check import Objective, check_selection
from worker.core.editing.edit import edit
from worker.core.editing.parts import parts_of, slices_of
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.curves import loss_curve
from worker.core.training.material import Material, gather, lowest_layer
from worker.core.training.options import Training
from worker.core.training.search import Share, Trial, plan, try_each
from worker.core.training.settle import settle
from worker.core.training.terms import forget_term, kept_terms
from worker.core.training.trainer import Probe, Term, Trainer

TITLE = "Weight masking"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"
HALVINGS = 6
"""Of the grid's least number of weights, while none of the grid is better than masking nothing."""
PUBLISHED_RATE, PUBLISHED_DECAY = 1e-3, 0.01


class Options(Training):
    """Options of weight masking."""

    BY_WIDTH = ()
    BY_STEPS = ("learning_rate",)
    """A mask is made where weights are carried to 0 within the steps: those of a wider model are
    hardly smaller, and fewer steps must be longer ones."""
    REHEARSED = {"points": 6}

    objective: Objective = Field(
        "unlearn", description="edit: bring out the edit target. unlearn: lower the target."
    )
    beta: float = Field(
        1.5, ge=0, le=1000, description="β, the weight of the remaining share of Σ|W| (paper: 1.5)."
    )
    optimizer: Literal["adamw", "sgd", "published"] = Field(
        "adamw",
        description="sgd: momentum 0.9 with the rate and decay given here. published: the paper's "
        "SGD, a rate of 1e-3, momentum 0.9 and decay 0.01, whatever is given here.",
    )
    points: int = Field(
        12,
        ge=2,
        le=200,
        description="Numbers of edited weights on the curve, evenly spaced from 0; smaller ones "
        "are tried too where none of these helps.",
    )
    edited_weights: int = Field(
        0, ge=0, le=10**10, description="Edit this many weights; 0 takes the curve's best point."
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Mask single weights of the mask's components."""
    check_selection(selection, options.objective, options.retain_weight)
    if options.optimizer == "published" and options.search == "small":
        raise UserError(
            "The published optimizer has one rate, 1e-3, and a search over rates is asked; "
            "expected one of them. Choose adamw or sgd, or switch the search off.",
            field="options.search",
        )

    def change() -> Findings:
        parts, layer = parts_of(model, mask), lowest_layer(model, mask)
        material = gather(model, selection, parts, layer, options, job, options.objective)
        before = parts.copy()

        def train(material: Material, chosen: Options, share: Share, job: Job) -> Trial[_Masked]:
            probe = Probe(options.objective, material.forget, material.edit, material.watched)
            end = share[0] + 0.8 * (share[1] - share[0])
            trained = Trainer(
                model,
                parts,
                _terms(material, chosen, before),
                probe,
                chosen.model_copy(update={"keep": "last", "retain_floor": 0.0}),
                job,
                lowest_layer=layer,
                share=(share[0], end),
                **_optimizer(material, chosen, before),
            ).train()
            masks = _masks(before, parts.copy())
            curve, best = _walk(model, material, probe, before, masks, chosen)
            kept = curve[best].get("retain_probability")
            ended = f"{best:,} weights set to 0"
            return Trial(
                _Masked(curve, best, trained.losses, trained.units),
                probe.score(curve[best]),
                kept,
                ended,
            )

        fixed = options.optimizer == "published"
        asked = options.model_copy(update={"search": "off"}) if fixed else options
        settled = settle(model, selection, parts, layer, asked, job, options.objective, train)
        searched = try_each(
            plan(settled.options),
            parts,
            lambda chosen, share: train(material, chosen, share, job),
            settled.share,
        )
        findings = _findings(searched.outcome)
        settled.tell(findings)
        searched.tell(findings)
        return findings

    return edit(model, slices_of(model, mask), job, change)


@dataclass(frozen=True)
class _Masked:
    """One training: the curve over numbers of edited weights, the number kept, the losses."""

    curve: dict[int, dict[str, float]]
    best: int
    losses: dict[str, list[float]]
    units: dict[str, str]


def _terms(material: Material, options: Options, before: list[Tensor]) -> list[Term]:
    editing = options.objective == "edit"
    loss = _losses.cross_entropy if editing else _losses.unlikelihood
    forget = forget_term(
        material,
        options,
        lambda logits, batch: loss(logits, batch.labels),
        material.edit if editing else None,
    )
    total = sum(float(value.abs().sum()) for value in before)
    size = Term(
        "size",
        options.beta,
        material.forget,
        1,
        lambda masters, batch: _size(material.parts.masters) / total,
        lambda batch, layer: torch.zeros(0),
        unit="share",
    )
    return [forget, *kept_terms(material, options), size]


def _size(masters: Sequence[Tensor]) -> Tensor:
    return torch.stack([master.abs().sum() for master in masters]).sum()


def _optimizer(material: Material, options: Options, before: list[Tensor]) -> dict[str, Any]:
    masters = material.parts.masters

    def hold() -> None:
        with torch.no_grad():
            for master, value in zip(masters, before, strict=True):
                master.clamp_(value.clamp(max=0), value.clamp(min=0))

    if options.optimizer == "adamw":
        return {"after_step": hold}
    rate, decay = options.learning_rate, options.weight_decay
    if options.optimizer == "published":
        rate, decay = PUBLISHED_RATE, PUBLISHED_DECAY
    sgd = torch.optim.SGD(masters, lr=rate, momentum=0.9, weight_decay=decay)
    return {"after_step": hold, "optimizer": sgd}


def _masks(before: list[Tensor], after: list[Tensor]) -> Tensor:
    """Give every weight's m in one vector; a weight that was 0 has nothing to mask: m = 1."""
    each = [
        torch.where(a == 0, torch.ones_like(a), b / torch.where(a == 0, torch.ones_like(a), a))
        for a, b in zip(before, after, strict=True)
    ]
    return torch.cat([m.flatten() for m in each])


def _walk(
    model: Model,
    material: Material,
    probe: Probe,
    before: list[Tensor],
    masks: Tensor,
    options: Options,
) -> tuple[dict[int, dict[str, float]], int]:
    """Probe at each number of edited weights, leave the best one in the model."""
    order = masks.argsort(stable=True)
    most = int((masks < 1).sum())
    if options.edited_weights:
        grid = [0, min(options.edited_weights, most)]
    else:
        grid = sorted({round(i * most / (options.points - 1)) for i in range(options.points)})
    curve: dict[int, dict[str, float]] = {}

    def ask(n: int) -> int:
        material.parts.load(_zeroed(before, order[:n]))
        curve[n] = probe.measure(model, material.layer)
        return max(sorted(curve), key=lambda n: probe.score(curve[n]))

    best = [ask(n) for n in grid][-1]
    best = grid[-1] if options.edited_weights else best
    for n in _halved(grid) if best == 0 else ():
        best = best or ask(n)
    if best == 0:
        raise Diverged(
            f"No number of masked weights up to {most:,} is better than none; the model is "
            f"untouched. Train longer, or raise the learning rate or beta."
        )
    material.parts.load(_zeroed(before, order[:best]))
    return dict(sorted(curve.items())), best


def _halved(grid: list[int]) -> list[int]:
    """List smaller numbers than the grid's first after 0, from the largest."""
    first = grid[1] if len(grid) > 1 else 0
    return [first >> i for i in range(1, HALVINGS + 1) if first >> i]


def _zeroed(before: list[Tensor], chosen: Tensor) -> list[Tensor]:
    sizes = [value.numel() for value in before]
    flat = torch.cat([value.flatten() for value in before])
    flat[chosen] = 0
    return [
        part.view_as(value)
        for part, value in zip(cast(tuple[Tensor, ...], flat.split(sizes)), before, strict=True)
    ]


def _findings(masked: _Masked) -> Findings:
    curve, best, losses = masked.curve, masked.best, masked.losses
    findings = Findings(summary={"weight_masking.edited_weights": best})
    axis = Axis(name="edited weights", labels=tuple(str(n) for n in curve))
    for name in curve[0]:
        values = np.array([measured[name] for measured in curve.values()])
        findings.arrays[f"masked.{name}"] = Array(values, (axis,), "probability", name)
        findings.summary[f"quick.{name}.before"] = curve[0][name]
        findings.summary[f"quick.{name}.after"] = curve[best][name]
    for name, seen in losses.items():
        findings.arrays[f"curve.{name}_loss"] = loss_curve(seen, name, masked.units[name])
    findings.caption = (
        f"{best:,} weights were set to 0 and all others left as they were; by quick probes the "
        f"target's mean probability on forget facts went from "
        f"{curve[0]['forget_probability']:.2f} to {curve[best]['forget_probability']:.2f}."
    )
    return findings
