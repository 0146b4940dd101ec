"""Activations and their gradients from one forward and one backward over a batch.

Weights' gradients stay off, so the backward computes only what flows through activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.models.intercept import replaced_forwards
from worker.core.models.model import Model
from worker.core.models.sites import See, Site, as_batch, watch
from worker.core.models.tokens import Batch

WITHIN: frozenset[Site] = frozenset({"attn", "mlp", "attn_write", "mlp_write", "z"})
"""Sites inside a layer; the residual runs past it."""


@dataclass(frozen=True)
class Activations:
    """What a forward kept: site -> one tensor per layer, and the last position's logits."""

    sites: dict[Site, list[Float[Tensor, "row pos width"]]]
    logits: Float[Tensor, "row vocab"]


@dataclass(frozen=True)
class Gradients:
    """Gradients of the summed metric, in the same order as `Activations.sites`."""

    activations: Activations
    sites: dict[Site, list[Float[Tensor, "row pos width"]]]
    embeds: Float[Tensor, "row pos width"]
    metric: Float[Tensor, " row"]


def activations(
    model: Model,
    batch: Batch,
    embeds: Float[Tensor, "row pos width"],
    sites: Sequence[Site],
    grad: bool = False,
) -> Activations:
    """Run all rows and keep the sites of every layer."""
    raw = _run(model, batch, embeds, sites, grad)
    shape = (embeds.shape[0], embeds.shape[1])
    shaped = {site: [as_batch(a, shape) for a in found] for site, found in raw.sites.items()}
    return Activations(shaped, raw.logits)


def gradients(
    model: Model,
    batch: Batch,
    embeds: Float[Tensor, "row pos width"],
    sites: Sequence[Site],
    measure: Callable[[Float[Tensor, "row vocab"]], Float[Tensor, " row"]],
) -> Gradients:
    """Run all rows forward and back; rows are independent, so one backward serves them all."""
    embeds = embeds.detach().requires_grad_()
    raw = _run(model, batch, embeds, sites, grad=True)
    shape = (embeds.shape[0], embeds.shape[1])
    with torch.enable_grad():
        metric = measure(raw.logits)
    flat = [a for site in sites for a in raw.sites[site]]
    found = torch.autograd.grad(metric.sum(), [embeds, *flat])
    slopes, start = {}, 1
    for site in sites:
        n = len(raw.sites[site])
        slopes[site] = [as_batch(g, shape) for g in found[start : start + n]]
        start += n
    kept = {site: [as_batch(a.detach(), shape) for a in raw.sites[site]] for site in sites}
    return Gradients(Activations(kept, raw.logits.detach()), slopes, found[0], metric.detach())


def dropped_gradients(
    model: Model,
    batch: Batch,
    embeds: Float[Tensor, "row pos width"],
    sites: Sequence[Site],
    measure: Callable[[Float[Tensor, "row vocab"]], Float[Tensor, " row"]],
) -> Iterator[Gradients]:
    """Give gradients once per layer, each with nothing flowing back through that layer's block.

    One forward serves all; a layer's attention and MLP outputs then pass no gradient on, so that
    what lies inside the layer, those outputs included, has none.
    """
    embeds = embeds.detach().requires_grad_()
    dropped = -1

    def dam(layer: int, activation: Tensor) -> None:
        activation.register_hook(lambda g: torch.zeros_like(g) if dropped == layer else g)

    writes: tuple[Site, Site] = ("attn_write", "mlp_write")
    dams: dict[tuple[Site, int], See] = {
        (site, layer): partial(dam, layer) for site in writes for layer in range(model.n_layers)
    }
    with replaced_forwards(watch(model, dams)):
        raw = _run(model, batch, embeds, sites, grad=True)
    shape = (embeds.shape[0], embeds.shape[1])
    metric = measure(raw.logits)
    flat = [a for site in sites for a in raw.sites[site]]
    kept = {site: [as_batch(a.detach(), shape) for a in raw.sites[site]] for site in sites}
    for layer in range(model.n_layers):
        dropped = layer
        found = torch.autograd.grad(metric.sum(), [embeds, *flat], retain_graph=True)
        parts = iter(found[1:])
        slopes = {site: [as_batch(next(parts), shape) for _ in kept[site]] for site in sites}
        for site in WITHIN & slopes.keys():
            # A write's own gradient is taken behind the dam that it meets.
            slopes[site][layer] = torch.zeros_like(slopes[site][layer])
        yield Gradients(Activations(kept, raw.logits.detach()), slopes, found[0], metric.detach())


def _run(
    model: Model, batch: Batch, embeds: Tensor, sites: Sequence[Site], grad: bool
) -> Activations:
    kept: dict[Site, list[Tensor]] = {site: [] for site in sites}

    def keep(site: Site, activation: Tensor) -> None:
        kept[site].append(activation)

    sights: dict[tuple[Site, int], See] = {
        (site, layer): partial(keep, site) for site in sites for layer in range(model.n_layers)
    }
    places = {"position_ids": batch.position_ids} if model.takes_position_ids else {}
    mask = None if bool(batch.mask.all()) else batch.mask
    with replaced_forwards(watch(model, sights)), nullcontext() if grad else torch.no_grad():
        out = model.hf(
            inputs_embeds=embeds, attention_mask=mask, use_cache=False, logits_to_keep=1, **places
        )
    return Activations(kept, out.logits[:, -1].float())
