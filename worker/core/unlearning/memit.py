"""Writes many new answers at once into the output projections of several MLPs.

1. Find for every fact the output that the last MLP of the mask should give at the subject's last
   token, all in one batch that starts at that layer: z = h + δ, h being the residual after it.
2. From the lowest to the highest MLP of the mask: keys K at that layer under the weights so far;
   R = (z − what the residual is now) / (layers left, this one counted).
3. Add R Kᵀ (λC + K_p K_pᵀ + K Kᵀ)⁻¹ to the projection, in float64, C being the keys' second moment,
   collected for all layers in one pass, and K_p the keys of the facts that edits below changed.

Source: Meng et al. 2023 (arXiv 2210.07229); K_p as Fang et al. 2025 (2410.02355) count it for MEMIT
in sequence, where the first edit has none. Departures: as ROME's here for C and openings; λ is
scaled to a C from few tokens. Limits: models that norm an MLP's output are refused.
"""

from pydantic import Field

from worker.contract.mask import Mask
from worker.contract.menu import Need
from worker.contract.selection import Selection
from worker.core.closed_form.layers import least_squares
from worker.core.closed_form.memory import mlp_layers, projection_slices
from worker.core.closed_form.spread import Layer, spread
from worker.core.closed_form.values import ValueOptions
from worker.core.editing.check import check_selection
from worker.core.editing.edit import edit
from worker.core.findings import Findings, Job
from worker.core.models.abilities import require
from worker.core.models.model import Model

TITLE = "Mass editing of memory (MEMIT)"
PAPER = "Meng et al. 2023, Mass-Editing Memory in a Transformer, arXiv 2210.07229"
NEEDS: tuple[Need, ...] = ("mlp_matrix", "plain_mlp_write")


class Options(ValueOptions):
    """Options of MEMIT."""

    moment_weight: float = Field(
        20.0,
        gt=0,
        le=1e7,
        description="λ, how much all other keys count against the facts' (GPT-2 XL 20,000, GPT-J "
        "15,000; few facts in a small model need less).",
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Write the edit targets into the mask's MLPs."""
    require(model, NEEDS)
    check_selection(selection, "edit", retain_weight=0)
    layers = mlp_layers(model, mask)

    def solve(layer: Layer):  # type: ignore[no-untyped-def]
        weight = options.moment_weight
        return least_squares(layer.keys, layer.residue, layer.moments, weight, layer.earlier)

    return edit(
        model,
        projection_slices(model, layers),
        job,
        lambda: spread(model, selection, layers, options, job, solve),
    )
