"""Writes each new answer into one MLP's output projection by the smallest change of its weight.

1. Key k: what enters the projection at the subject's last token; k* is its mean over openings.
2. Value v*: the output at that token which makes the edit target likely, by Adam on a vector δ,
   for all facts in one batch that starts at the edited layer.
3. Weight: W' = W + (v* − W k) uᵀ / (uᵀ k), u = C⁻¹ k*, with C the keys' second moment, in
   float64; facts are written one after another, each against the weight that the last left.

Source: Meng et al. 2022 (arXiv 2202.05262). Departures: C from a few thousand tokens of general
text and, by default, of retain facts, instead of Wikipedia; openings are general sentences instead
of text that the model generated. Limits: made for one fact; later facts disturb earlier ones.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.mask import Mask
from worker.contract.menu import Need
from worker.contract.selection import Selection
from worker.core.closed_form.layers import Quick, layers_of, refuse_unread, regularized
from worker.core.closed_form.memory import (
    add,
    ask_behind,
    keys,
    matrix,
    openings,
    projection,
    projection_slices,
    second_moments,
)
from worker.core.closed_form.values import ValueOptions, find_values
from worker.core.editing.check import check_selection
from worker.core.editing.edit import edit
from worker.core.findings import Findings, Job
from worker.core.models.abilities import require
from worker.core.models.model import Model
from worker.core.training.material import retained

TITLE = "Rank-one editing (ROME)"
PAPER = "Meng et al. 2022, Locating and Editing Factual Associations, arXiv 2202.05262"
NEEDS: tuple[Need, ...] = ("mlp_matrix",)


class Options(ValueOptions):
    """Options of ROME."""

    layer: int = Field(
        -1,
        ge=-1,
        le=1000,
        description="The MLP that is edited; -1 takes the middle one of the mask.",
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Write the edit targets into one MLP."""
    require(model, NEEDS)
    check_selection(selection, "edit", retain_weight=0)
    (layer,) = layers_of(model, mask, options)
    facts = selection.forget
    refuse_unread(model, facts, layer)
    before = openings(model, options.contexts, job.seed, options.general_text)
    answers = [fact.edit_target for fact in facts]

    def change() -> Findings:
        quick = Quick(model, selection, job)
        kept = retained(selection, job).trained if options.protect_retain else ()
        moments = second_moments(
            model, [layer], job, options.covariance_tokens, kept, options.general_text
        )[layer]
        values = find_values(model, facts, layer, before, options, job, (0.1, 0.9))
        plain = keys(model, ask_behind(model, facts, answers, [""]), [layer], len(facts))[layer]
        mean = keys(model, ask_behind(model, facts, answers, before), [layer], len(facts))[layer]
        bias = getattr(projection(model, layer), "bias", None)
        wanted = values.wanted if bias is None else values.wanted - bias.double()
        u = torch.linalg.solve(regularized(moments), mean.T).T
        for i in range(len(facts)):
            weight = matrix(model, layer).double()
            add(model, layer, rank_one(weight, plain[i], wanted[i], u[i]))
        return quick.findings(selection, values, [layer])

    return edit(model, projection_slices(model, [layer]), job, change)


def rank_one(
    weight: Float[Tensor, "d_model d_mlp"],
    key: Float[Tensor, " d_mlp"],
    value: Float[Tensor, " d_model"],
    u: Float[Tensor, " d_mlp"],
) -> Float[Tensor, "d_model d_mlp"]:
    """Compute the change along u after which the weight gives `value` for `key`."""
    return torch.outer(value - weight @ key, u) / (u @ key)
