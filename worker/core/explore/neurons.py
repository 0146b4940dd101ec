"""Lists the neurons of one MLP that matter most to the answer at one token, and what they write.

direct: what a neuron writes at that token, along the logit of the target's first token over the
distractor's there. attribution: its activation times the slope of the answers' logit difference at
the prompt's end. zeroed: the exact change of that difference when the neuron is set to zero at that
token. Neurons with the largest attribution are listed; where nothing reaches the end, with the
largest direct effect.

Sources: Geva et al. 2022, Transformer Feed-Forward Layers Build Predictions by Promoting Concepts
(arXiv 2203.14680), for what is promoted.
Limits: an attribution is a first-order estimate; zeroing is exact, one neuron at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from worker.contract.errors import UserError
from worker.contract.result import Table
from worker.core.explore._answers import Contexts, Metric, contexts_of, scored
from worker.core.explore._direct import require_parts
from worker.core.explore._intervening import intervening
from worker.core.explore._options import SubjectOptions
from worker.core.explore._places import check_place, token_of
from worker.core.explore._promoted import each_promoted
from worker.core.explore._subject import Subject, look, prompt_of
from worker.core.findings import Findings, Job
from worker.core.models.base_run import BaseRun
from worker.core.models.gradients import activations
from worker.core.models.intercept import replaced_forwards, seeing_input
from worker.core.models.model import Model
from worker.core.models.projections import weight_by_input
from worker.core.models.sites import Site, as_batch
from worker.core.models.suffix import Suffix, unembed
from worker.core.patching.direct import directions, push_through, require_sum, through_norm

TITLE = "Neurons of a prompt"
PAPER = "https://arxiv.org/abs/2203.14680"
SITES: tuple[Site, ...] = ("attn_write", "mlp_write")
PROMOTED = 5
"""Tokens listed that a neuron promotes, and suppresses."""


class Options(SubjectOptions):
    """The subject, the MLP and the token."""

    which: Literal["clean", "corrupted"] = Field("clean", description="The prompt that is read.")
    layer: int = Field(0, ge=0, description="The MLP's layer.")
    token: int | None = Field(None, ge=0, description="The token; empty: the last.")
    k: int = Field(20, ge=1, le=100, description="Neurons listed.")


@intervening
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Find and measure the neurons; see the module's docstring."""
    check_place(model, "layer", options.layer, model.n_layers)
    subject = look(model, options, job.seed)
    which = prompt_of(subject, options.which)
    token = token_of(len(subject.prompts[which].ids), options.token)
    job.report.progress(0.3, "reading the neurons")
    layer = _Layer(subject, which, options.layer, token)
    direct, attribution = layer.direct(), layer.attribution()
    ranked = attribution if bool(attribution.any()) else direct
    chosen = ranked.abs().topk(min(options.k, len(ranked))).indices
    job.report.progress(0.6, "setting them to zero one by one")
    zeroed = layer.zeroed(chosen)
    neurons = [
        {
            "neuron": neuron,
            "activation": float(layer.activation[neuron]),
            "direct": float(direct[neuron]),
            "attribution": float(attribution[neuron]),
            "zeroed": float(zeroed[place]),
            **promotes,
        }
        for place, (neuron, promotes) in enumerate(
            zip(chosen.tolist(), layer.promotes(chosen), strict=True)
        )
    ]
    columns = ("neuron", "activation", "direct", "attribution", "zeroed")
    first = neurons[0]
    return Findings(
        caption=(
            f"Of {len(ranked):,} neurons of layer {options.layer} at "
            f"{subject.prompts[which].tokens[token]!r}, neuron {first['neuron']} matters most: set "
            f"to zero, the {layer.metric.replace('_diff', ' difference')} changes by "
            f"{first['zeroed']:+.3f}."
        ),
        tables={
            "neurons": Table(
                title=f"Neurons of layer {options.layer}",
                columns=columns,
                rows=tuple(tuple(one[name] for name in columns) for one in neurons),
            )
        },
        view={
            **subject.as_json(),
            "which": options.which,
            "layer": options.layer,
            "token": token,
            "metric": layer.metric,
            "neurons": neurons,
        },
    )


class _Layer:
    """One MLP of a prompt's run, at one token."""

    def __init__(self, subject: Subject, which: int, layer: int, token: int) -> None:
        self.subject, self.model, self.layer = subject, subject.model, layer
        if not self.model.layout.mlp_out:
            raise UserError(
                f"The MLPs of {self.model.id!r} have no single output projection whose inputs are "
                f"neurons (as where experts are chosen). Choose another view.",
                field="model",
            )
        self.contexts: Contexts = contexts_of(subject.answers, which)
        self.metric: Metric = "logit" if subject.distractor is None else "logit_diff"
        self.module = self.model.blocks[layer].get_submodule(self.model.layout.mlp_out)
        seen: list[Tensor] = []
        with replaced_forwards({self.module: seeing_input(seen.append)}):
            self.run: BaseRun = subject.run(self.contexts.rows, SITES)
        require_parts(subject)
        require_sum(self.run, "view")
        self.shape = (len(self.contexts), self.run.n_positions)
        self.columns = [
            self.run.n_positions - len(subject.prompts[which].ids) - len(begun) + token
            for _, begun in self.contexts.rows
        ]
        self.activation: Float[Tensor, " neuron"] = as_batch(seen[0], self.shape)[
            0, self.columns[0]
        ].float()

    @torch.no_grad()
    def direct(self) -> Float[Tensor, " neuron"]:
        """What each neuron writes at the token, along the first tokens' logit difference there."""
        device, place = self.run.logits.device, self.columns[0]
        ids = [answer.ids[0] for answer in self.subject.answers.values()]
        pulled = [directions(self._first(), torch.tensor([t], device=device), place) for t in ids]
        along = pulled[0] if len(pulled) == 1 else pulled[0] - pulled[1]
        norm = self._post_norm()
        if norm is not None:
            along = through_norm(norm, self._before_norm(), along)
        weight = weight_by_input(self.module).float()
        return self.activation * (weight @ along[0])

    def attribution(self) -> Float[Tensor, " neuron"]:
        """Activation times the metric's slope, from one backward."""
        kept: list[Tensor] = []

        def begin(activation: Tensor) -> Tensor:
            kept.append(activation.detach().requires_grad_())
            return kept[0]

        batch, embeds = self.subject.rows(self.contexts.rows)
        with replaced_forwards({self.module: seeing_input(begin)}), torch.enable_grad():
            logits = activations(self.model, batch, embeds, [], grad=True).logits
            metric = scored(self.contexts, logits[None]).metric(self.metric)
            slope = torch.autograd.grad(metric.sum(), kept[0])[0]
        product = as_batch(slope * kept[0].detach(), self.shape).float()
        own = [product[row, column] for row, column in enumerate(self.columns)]
        return torch.stack(own).sum(0)

    @torch.no_grad()
    def zeroed(self, neurons: Tensor) -> Float[Tensor, " neuron"]:
        """The metric's exact change when each neuron is set to zero at the token."""
        last = torch.stack([self._without(neurons, c) for c in range(len(self.contexts))], dim=1)
        logits = unembed(self.run, last.flatten(0, 1)).unflatten(0, last.shape[:2])
        before = scored(self.contexts, self.run.logits[None]).metric(self.metric)
        return scored(self.contexts, logits).metric(self.metric) - before

    def promotes(self, neurons: Tensor) -> list[dict[str, list[dict[str, Any]]]]:
        """Tokens that each neuron's output at its activation promotes and suppresses."""
        weight = weight_by_input(self.module)[neurons].float()
        written = self.activation[neurons][:, None] * weight
        norm = self._post_norm()
        if norm is not None:
            written = push_through(norm, self._before_norm().expand_as(written), written)
        return [
            {"promoted": own.tokens(PROMOTED), "suppressed": own.tokens(PROMOTED, largest=False)}
            for own in each_promoted(self.run, written, self.columns[0])
        ]

    def _without(self, neurons: Tensor, context: int) -> Float[Tensor, "neuron d_model"]:
        """The last residual of a context with each neuron set to zero."""
        column = self.columns[context]
        suffix = Suffix(self.run, column)
        rows = torch.full((len(neurons),), context, device=neurons.device)
        hidden = self.run.resid[self.layer][rows, column:]

        def zero(activation: Tensor) -> Tensor:
            changed = activation.clone()
            view = as_batch(changed, (len(neurons), self.run.n_positions - column))
            view[torch.arange(len(neurons)), 0, neurons] = 0
            return changed

        for layer in range(self.layer, self.model.n_layers):
            held = {self.module: seeing_input(zero)} if layer == self.layer else {}
            hidden = suffix.run(layer, hidden, rows, held)
        return hidden[:, -1]

    def _first(self) -> BaseRun:
        """The run's first row alone."""
        return replace(self.run, resid=[resid[:1] for resid in self.run.resid])

    def _post_norm(self) -> nn.Module | None:
        name = self.model.layout.ln2_post
        return self.model.blocks[self.layer].get_submodule(name) if name else None

    def _before_norm(self) -> Float[Tensor, "one d_model"]:
        """What goes into the post-norm at the token."""
        found: Tensor = self.module(self.activation[None].to(self.model.dtype))
        return found.float()
