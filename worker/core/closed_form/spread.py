"""Spread the change that many facts need over the output projections of several MLPs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.facts import Fact
from worker.contract.selection import Selection
from worker.core.closed_form.layers import Quick, refuse_unread
from worker.core.closed_form.memory import (
    Asked,
    add,
    ask_behind,
    halved,
    keys,
    matrix,
    openings,
    second_moments,
)
from worker.core.closed_form.values import ValueOptions, find_values
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training.forward import hidden_before
from worker.core.training.material import retained


@dataclass(frozen=True)
class Layer:
    """What one layer's change is solved from, in float64."""

    keys: Float[Tensor, "fact d_mlp"]
    residue: Float[Tensor, "fact d_model"]
    moments: Float[Tensor, "d_mlp d_mlp"]
    earlier: Float[Tensor, "earlier d_mlp"]
    """Keys of the facts that edits below changed, under the weights as they are now."""


Solve = Callable[[Layer], Float[Tensor, "d_model d_mlp"]]


def spread(
    model: Model,
    selection: Selection,
    layers: Sequence[int],
    options: ValueOptions,
    job: Job,
    solve: Solve,
) -> Findings:
    """Edit the projections of `layers`, lowest first, so that the facts' values come out."""
    facts, last = selection.forget, layers[-1]
    refuse_unread(model, facts, last)
    quick = Quick(model, selection, job)
    kept = retained(selection, job).trained if options.protect_retain else ()
    moments = second_moments(
        model, layers, job, options.covariance_tokens, kept, options.general_text
    )
    before = openings(model, options.contexts, job.seed, options.general_text)
    answers = [fact.edit_target for fact in facts]
    plain = ask_behind(model, facts, answers, [""])
    now = residual_after(model, plain, last)
    size = now.norm(dim=-1).float()
    values = find_values(model, facts, last, before, options, job, (0.1, 0.8), size)
    asked = ask_behind(model, facts, answers, before)
    changed = [fact for group in job.edited for fact in group]
    wanted = now + values.delta
    for i, layer in enumerate(layers):
        residue = (wanted - residual_after(model, plain, last)) / (len(layers) - i)
        key = keys(model, asked, [layer], len(facts), halved(len(before)))[layer]
        known = earlier_keys(model, changed, layer, before)
        add(model, layer, solve(Layer(key, residue, moments[layer], known)))
        job.report.progress(0.8 + 0.2 * (i + 1) / len(layers), f"Solved layer {layer}")
    return quick.findings(selection, values, list(layers))


def earlier_keys(
    model: Model, facts: Sequence[Fact], layer: int, before: Sequence[str]
) -> Float[Tensor, "earlier d_mlp"]:
    """Find the keys of facts that edits below changed: what is written there must stay."""
    if not facts:
        width = matrix(model, layer).shape[1]
        return torch.zeros(0, width, dtype=torch.float64, device=model.device)
    answers = [fact.edit_target or fact.target for fact in facts]
    asked = ask_behind(model, facts, answers, before)
    return keys(model, asked, [layer], len(facts), halved(len(before)))[layer]


@torch.no_grad()
def residual_after(model: Model, asked: Asked, layer: int) -> Float[Tensor, "row d_model"]:
    """Compute the residual after a block at each row's last subject token, in float64."""
    found = []
    for batch in asked.pool.batches(64):
        hidden = hidden_before(model, batch, layer + 1)
        places = [hidden.shape[1] - asked.from_right[i] for i in batch.index.tolist()]
        found.append(hidden[torch.arange(len(places)), places].double())
    return torch.cat(found)
