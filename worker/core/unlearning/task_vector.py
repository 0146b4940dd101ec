"""Learns the forget facts harder, and then goes the other way: subtracts what learning added.

1. Train the mask's components on the forget facts' true answers: W₁.
2. τ = W₁ − W₀ is the task vector. Set W = W₀ − s τ for each scale s in turn and probe.
3. Of the scales that leave most of the retain facts, keep the one with the best product of
   forgetting and retention; of all, where none leaves them.

Source: Ilharco et al. 2023 (arXiv 2212.04089), who keep the scale that forgets most while .95 of a
control task is left. Departure: the scale is chosen by quick probes among given ones, and less need
be left. Limits: where the model already knows the facts to near certainty, learning them moves
little and the vector is mostly noise, so large scales are among the given ones.
"""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.errors import Diverged, NotFinite
from worker.contract.mask import Mask
from worker.contract.result import Axis
from worker.contract.selection import Selection
from worker.core.editing.check import check_selection
from worker.core.editing.edit import edit
from worker.core.editing.parts import Parts, parts_of, slices_of
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.material import Material, gather, lowest_layer
from worker.core.training.options import Training
from worker.core.training.search import Share, Trial, plan, try_each
from worker.core.training.settle import settle
from worker.core.training.terms import forget_term
from worker.core.training.trainer import Probe, Trainer

TITLE = "Task vector (negation)"
PAPER = "Ilharco et al. 2023, Editing Models with Task Arithmetic, arXiv 2212.04089"

Tried = tuple[float, float, dict[str, float]]
"""Score, scale and what the probe measured."""


class Options(Training):
    """Options of the task vector."""

    steps: int = Field(
        40,
        ge=1,
        le=10_000,
        description="Steps of learning the forget facts. On the bundled model the vector of 20 "
        "steps takes .26 to .37 of retain facts along, that of 40 takes .04 to .08.",
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="AdamW's peak learning rate.")
    retain_weight: float = Field(0.0, ge=0, le=0, description="Always 0: only forget facts.")
    general_weight: float = Field(0.0, ge=0, le=0, description="Always 0.")
    scales: tuple[float, ...] = Field(
        (0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
        min_length=1,
        max_length=64,
        description="Scales s of the subtracted vector that are tried (no unit; paper: 0 to 1).",
    )
    retain_kept: float = Field(
        0.85,
        ge=0,
        le=1,
        description="Share of the watched retain facts' probability that a scale must leave to be "
        "chosen before others (paper: 0.95 of a control task).",
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Subtract the vector that learning the forget facts adds to the mask's components."""
    check_selection(selection, "unlearn", retain_weight=0)

    def change() -> Findings:
        parts, layer = parts_of(model, mask), lowest_layer(model, mask)
        material = gather(model, selection, parts, layer, options, job, "unlearn")
        before = parts.copy()
        probe = Probe("unlearn", material.forget, None, material.watched)
        first = probe.measure(model, layer)

        def best(tried: list[Tried], asked: Probe, begun: dict[str, float]) -> Tried:
            least = options.retain_kept * begun.get("retain_probability", 0.0)
            return _best(tried, asked.score(begun), least)

        def train(given: Material, chosen: Options, share: Share, job: Job) -> Trial[list[Tried]]:
            asked = Probe("unlearn", given.forget, None, given.watched)
            begun = asked.measure(model, layer)
            term = forget_term(
                given, chosen, lambda logits, b: _losses.cross_entropy(logits, b.labels)
            )
            learn = chosen.model_copy(update={"keep": "last", "retain_floor": 0.0})
            Trainer(
                model, parts, [term], asked, learn, job, lowest_layer=layer, share=share
            ).train()
            vector = [b - a for a, b in zip(before, parts.copy(), strict=True)]
            tried = _walk(model, parts, asked, layer, before, vector, chosen.scales, job)
            score, scale, last = best(tried, asked, begun)
            if not score > asked.score(begun):
                raise Diverged(
                    f"No scale of {chosen.scales} is better than the beginning; the model is "
                    f"untouched. Try other scales or more steps."
                )
            _subtract(parts, before, vector, scale)
            return Trial(tried, score, last.get("retain_probability"), f"scale {scale:g}")

        settled = settle(model, selection, parts, layer, options, job, "unlearn", train)
        searched = try_each(
            plan(settled.options, weights=()),
            parts,
            lambda chosen, share: train(material, chosen, share, job),
            settled.share,
        )
        findings = _findings(searched.outcome, best(searched.outcome, probe, first), first)
        settled.tell(findings)
        searched.tell(findings)
        return findings

    return edit(model, slices_of(model, mask), job, change)


def _walk(
    model: Model,
    parts: Parts,
    probe: Probe,
    layer: int,
    before: Sequence[Tensor],
    vector: Sequence[Tensor],
    scales: Sequence[float],
    job: Job,
) -> list[Tried]:
    """Probe the model at every scale; one at which it gives no numbers is passed over."""
    tried = []
    for scale in scales:
        _subtract(parts, before, vector, scale)
        try:
            measured = probe.measure(model, layer)
        except NotFinite as error:
            job.report.log(f"Scale {scale:g} was passed over: {error.message}")
            continue
        tried.append((probe.score(measured), scale, measured))
    if not tried:
        raise Diverged(f"At no scale of {scales} does the model give numbers; it is untouched.")
    return tried


def _subtract(
    parts: Parts, before: Sequence[Tensor], vector: Sequence[Tensor], scale: float
) -> None:
    with torch.no_grad():
        parts.load([a - scale * v for a, v in zip(before, vector, strict=True)])


def _best(tried: list[Tried], start: float, least: float) -> Tried:
    """Choose by the score, first among the scales that are better than the beginning and leave the
    retain facts a probability of `least`."""
    held = [
        one for one in tried if one[0] > start and one[2].get("retain_probability", 1.0) >= least
    ]
    return max(held or tried, key=lambda one: one[0])


def _findings(tried: list[Tried], best: Tried, first: dict[str, float]) -> Findings:
    _, scale, last = best
    axis = Axis(name="scale", labels=tuple(f"{s:g}" for _, s, _ in tried))
    findings = Findings(summary={"task_vector.scale": scale})
    for name in first:
        values = np.array([measured[name] for _, _, measured in tried])
        findings.arrays[f"scale.{name}"] = Array(values, (axis,), "probability", name)
        findings.summary[f"quick.{name}.before"] = first[name]
        findings.summary[f"quick.{name}.after"] = last[name]
    findings.caption = (
        f"The task vector was subtracted {scale:g} times; by quick probes the target's mean "
        f"probability on forget facts went from {first['forget_probability']:.2f} to "
        f"{last['forget_probability']:.2f}."
    )
    return findings
