"""What the closed-form editors share: choosing a layer, spreading a change, quick probes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import Diverged, NotFinite, UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.result import Axis
from worker.contract.selection import Selection
from worker.core.closed_form.memory import mlp_layers
from worker.core.closed_form.values import ValueOptions, Values
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact
from worker.core.training.material import retained, watched_rows
from worker.core.training.pool import fact_rows, pool
from worker.core.training.trainer import PROBED, Probe

RIDGE = 1e-4
"""Of the mean variance, added to C's diagonal: an estimate from few tokens may lack rank."""


def chosen_layer(layers: list[int], layer: int) -> int:
    """Return the layer asked for, or the mask's middle one; raise UserError outside the mask."""
    if layer < 0:
        return layers[len(layers) // 2]
    if layer not in layers:
        raise UserError(
            f"Layer {layer} is not in the mask, which holds the MLPs of layers "
            f"{', '.join(map(str, layers))}; expected one of these, or -1.",
            field="options.layer",
        )
    return layer


def layers_of(model: Model, mask: Mask | None, options: ValueOptions) -> list[int]:
    """List the layers that a closed form edits: ROME one of the mask's, the others all of them."""
    layers = mlp_layers(model, mask)
    layer: int | None = getattr(options, "layer", None)
    return layers if layer is None else [chosen_layer(layers, layer)]


def refuse_unread(model: Model, facts: Sequence[Fact], layer: int) -> None:
    """Raise UserError where the value of a fact, written at `layer`, would change no answer.

    Nothing behind the last layer carries what stands at a subject's end to the places behind it:
    the value's gradient is 0, and the edit would end with the weights as they were.
    """
    if layer < model.n_layers - 1:
        return
    prompts = [(fact, encode_fact(model, fact)) for fact in facts]
    unread = [fact for fact, prompt in prompts if prompt.subject[1] < len(prompt.ids)]
    if unread:
        below = f"of layers up to {layer - 1}" if layer else "of a model with several layers"
        raise UserError(
            f"The values would be written by the MLP of layer {layer}, the model's last, at each "
            f"subject's end, and of {len(unread)} of {len(prompts)} facts the prompt goes on "
            f"behind it ({unread[0].text!r}, subject {unread[0].subject!r}): no layer takes them "
            f"to the answer, so nothing would change. Choose MLPs {below}, or facts whose prompts "
            f"end with the subject.",
            field="mask.components",
        )


def regularized(moments: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Add a small ridge, so that it can be solved against."""
    scale = moments.diagonal().mean().clamp(min=1e-12)
    return moments + RIDGE * scale * torch.eye(
        len(moments), dtype=moments.dtype, device=moments.device
    )


def least_squares(
    keys: Float[Tensor, "fact d_mlp"],
    residue: Float[Tensor, "fact d_model"],
    moments: Float[Tensor, "d_mlp d_mlp"],
    weight: float,
    earlier: Float[Tensor, "earlier d_mlp"] | None = None,
) -> Float[Tensor, "d_model d_mlp"]:
    """Compute R Kᵀ (λC + K_p K_pᵀ + K Kᵀ)⁻¹, columns of K and R being the facts.

    K_p are the keys of earlier edits, whose values are to stay.
    """
    system = weight * regularized(moments) + keys.T @ keys
    if earlier is not None:
        system = system + earlier.T @ earlier
    change: Tensor = torch.linalg.solve(system, keys.T @ residue).T
    return change


class Quick:
    """Quick probes around a closed-form edit."""

    def __init__(self, model: Model, selection: Selection, job: Job) -> None:
        self.model, self.job = model, job
        forget, watched = selection.forget, watched_rows(model, retained(selection, job))
        self.probe = Probe(
            "edit",
            pool(model, fact_rows(model, forget, [f.target for f in forget])),
            pool(model, fact_rows(model, forget, [f.edit_target for f in forget])),
            pool(model, watched) if watched else None,
        )
        self.before = self.probe.measure(model, 0)
        job.report.partial("curve", {"step": 0} | self.before)

    def findings(self, selection: Selection, values: Values, layers: list[int]) -> Findings:
        """Probe again and say what the edit did; raise Diverged where its logits are no numbers."""
        try:
            after = self.probe.measure(self.model, 0)
        except NotFinite as error:
            raise Diverged(
                f"The edit's weights are of no use, and the model is untouched. {error.message} "
                f"Lower the clamp or raise covariance_tokens."
            ) from None
        self.job.report.partial("curve", {"step": 1} | after)
        findings = Findings()
        for name, value in after.items():
            findings.summary[f"quick.{name}.before"] = self.before[name]
            findings.summary[f"quick.{name}.after"] = value
        findings.summary["values.loss.mean"] = float(values.losses.mean())
        axis = Axis(name="fact", labels=tuple(f.id for f in selection.forget))
        findings.arrays["values.loss"] = Array(
            values.losses.cpu().numpy(), (axis,), "nats", "Loss of each fact's wanted value"
        )
        said = ", ".join(
            f"{name.replace('_', ' ')} {self.before[name]:.2f} to {after[name]:.2f}"
            for name in after
        )
        findings.caption = (
            f"Output projections of the MLPs in layers {', '.join(map(str, layers))} were solved "
            f"for {len(selection.forget)} facts; by quick probes (at most {PROBED} facts), {said}."
        )
        return findings
