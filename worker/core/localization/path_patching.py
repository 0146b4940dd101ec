"""Patches what senders say to receivers directly, so that one path at a time is measured.

1. In the corrupted run a sender's output is set to its clean value, while every other attention
   (and, on request, every other MLP) is held at its corrupted output: the change reaches a receiver
   through the residual stream alone, or through MLPs too.
2. The corrupted run is repeated with the receivers' outputs as they then were.
3. The score of a sender is the metric so patched minus that of the corrupted run.

Paper: Wang et al. 2022, Interpretability in the Wild; Goldowsky-Dill et al. 2023, Localizing Model
Behavior with Path Patching.

Departures: denoising (clean into corrupted) as in Mechanistic Unlearning, where the first paper
noises. A receiving head gets its queries, keys and values together.

Limits: each sender is patched alone, so what two senders do only together is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.components import Component, parse_component
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.components import component_slices
from worker.core.models.model import Model
from worker.core.models.paths import NEEDED, Receivers
from worker.core.patching.bench import facts_per_batch, make_bench
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import Corrupted
from worker.core.patching.metric import CHANGES
from worker.core.patching.outcome import component_names
from worker.core.patching.path_effects import path_effects

TITLE = "Path patching"
PAPER = "https://arxiv.org/abs/2304.05969"


class Options(ComparisonOptions):
    """Defaults: from every component straight to the final residual stream."""

    senders: tuple[str, ...] = Field(
        (),
        description="Components whose clean output is sent, for example blocks.3.mlp; empty means "
        "every MLP, attention and head that comes before the receivers.",
    )
    receivers: tuple[str, ...] = Field(
        (),
        description="Components that receive; empty means the final residual stream (the logits).",
    )
    receiving_layer: int | None = Field(
        None, ge=0, description="Instead of receivers: the input of this layer."
    )
    through_mlps: bool = Field(
        True, description="Whether paths through other MLPs count as direct (the paper: yes)."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Patch paths in each fact; see the module's docstring."""
    receivers = _receivers(model, options)
    senders = _senders(model, options, receivers)
    facing = Comparison(model, facts, options, job)

    def run(batch: list[Corrupted]) -> None:
        bench = make_bench(model, batch, options.metric, NEEDED)
        sets = [(sender,) for sender in senders]
        effects = path_effects(bench, sets, receivers, not options.through_mlps)
        facing.operations += bench.base.operations
        for i, item in enumerate(batch):
            one = facing.keep(item, bench.changes[i])
            if one is not None:
                one.components = dict(zip(map(str, senders), effects[i].tolist(), strict=True))
        facing.tell()

    facing.run("paths", facts_per_batch(model, facing.items, len(senders)), run)
    goal = _words(model, receivers)
    findings = facing.findings(
        "path_patching",
        f"Effect of a component's clean output on {goal}: positive brings the answer back.",
    )
    scores = findings.arrays["components"].values
    top = int(np.abs(scores).argmax())
    findings.caption = (
        f"Of {len(senders)} senders to {goal} over {len(facing.traced)} facts, {senders[top]} says "
        f"most ({scores[top]:+.3f} {CHANGES[options.metric]})."
    )
    return findings


def _receivers(model: Model, options: Options) -> Receivers:
    if options.receiving_layer is not None:
        if options.receivers or options.receiving_layer >= model.n_layers:
            raise UserError(
                f"receiving_layer is {options.receiving_layer}"
                + (" beside receivers; choose one of the two." if options.receivers else "")
                + (f"; {model.id!r} has layers 0 to {model.n_layers - 1}."),
                field="options.receiving_layer",
            )
        return Receivers(resid_pre=options.receiving_layer)
    if not options.receivers:
        return Receivers(resid_pre=model.n_layers)
    return Receivers(
        components=tuple(_known(model, name, "receivers") for name in options.receivers)
    )


def _senders(model: Model, options: Options, receivers: Receivers) -> list[Component]:
    names = options.senders or tuple(component_names(model, heads=True))
    known = [_known(model, name, "senders") for name in names]
    reaching = [sender for sender in known if _comes_before(sender, receivers)]
    if not reaching or (options.senders and len(reaching) < len(known)):
        late = [str(sender) for sender in known if sender not in reaching]
        raise UserError(
            f"{late[0] if late else 'Nothing'} comes after {_words(model, receivers)}, so no path "
            f"leads there. Choose senders in earlier layers.",
            field="options.senders",
        )
    return reaching


def _known(model: Model, name: str, field: Literal["senders", "receivers"]) -> Component:
    try:
        component_slices(model, name)
    except UserError as error:
        raise UserError(error.message, field=f"options.{field}") from None
    return parse_component(name)


def _comes_before(sender: Component, receivers: Receivers) -> bool:
    if receivers.resid_pre is not None:
        return sender.layer < receivers.resid_pre
    return any(
        sender.layer < r.layer
        or (sender.layer == r.layer and sender.kind == "attn" and r.kind == "mlp")
        for r in receivers.components
    )


def _words(model: Model, receivers: Receivers) -> str:
    if receivers.resid_pre == model.n_layers:
        return "the final residual stream"
    if receivers.resid_pre is not None:
        return f"the input of layer {receivers.resid_pre}"
    return ", ".join(map(str, receivers.components))
