"""One forward pass over clean and corrupted prompts, with everything that a restart needs.

Residuals, keys, values and module outputs of every row are kept; only the last position is
unembedded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from worker.core.models.intercept import (
    Forward,
    Replacement,
    of_form,
    read_form,
    replaced_forwards,
)
from worker.core.models.model import Model
from worker.core.models.operations import block_operations, unembed_operations
from worker.core.models.sites import See, Site, as_batch, module_at, watch
from worker.core.models.tokens import Batch


@dataclass
class BaseRun:
    """Rows of a forward pass. Lists have one entry per layer; `resid` also the last output."""

    model: Model
    embeds: Float[Tensor, "row pos width"]
    mask: Bool[Tensor, "row pos"]
    position_ids: Int[Tensor, "row pos"]
    resid: list[Float[Tensor, "row pos d_model"]] = field(default_factory=list)
    sites: dict[str, list[Float[Tensor, "row pos width"]]] = field(default_factory=dict)
    keys: list[Float[Tensor, "row head pos d_head"]] = field(default_factory=list)
    values: list[Float[Tensor, "row head pos d_head"]] = field(default_factory=list)
    logits: Float[Tensor, "row vocab"] = field(default_factory=lambda: torch.empty(0))
    forms: dict[str, int] = field(default_factory=dict)
    """How `block` and `attn` return: 0 a tensor, else the length of a tuple that begins with it."""
    operations: int = 0
    """Floating-point operations of this run and of all restarts from it, by formula."""

    @property
    def n_positions(self) -> int:
        return self.embeds.shape[1]

    @property
    def padded(self) -> bool:
        return not bool(self.mask.all())


class RecordingLayer(DynamicLayer):
    """A cache layer that starts empty and keeps the one update it gets."""

    keys: Tensor
    values: Tensor

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.keys, self.values = key_states, value_states
        return key_states, value_states

    def get_seq_length(self) -> int:
        return 0


@torch.no_grad()
def run_base(
    model: Model,
    batch: Batch,
    embeds: Float[Tensor, "row pos width"] | None = None,
    sites: Sequence[Site] = (),
) -> BaseRun:
    """Run all rows once; `embeds` replaces the tokens' embeddings (a corruption by noise)."""
    if embeds is None:
        embeds = embed(model, batch.ids)
    run = BaseRun(model, embeds, batch.mask.bool(), batch.position_ids)
    layers = [RecordingLayer() for _ in range(model.n_layers)]  # type: ignore[no-untyped-call]
    run.sites = {site: [] for site in sites}
    first = model.blocks[0]
    forms = {first: _note_form(run, "block"), module_at(model, "attn", 0): _note_form(run, "attn")}
    with replaced_forwards(forms), replaced_forwards(watch(model, _sights(run, sites))):
        out = model.hf(**forward_arguments(run), past_key_values=Cache(layers=[*layers]))
    rows, positions = embeds.shape[:2]
    run.operations = model.n_layers * block_operations(model, rows, positions, positions)
    run.operations += unembed_operations(model, rows)
    run.logits = out.logits[:, -1].float()
    run.keys, run.values = [layer.keys for layer in layers], [layer.values for layer in layers]
    return run


def rows_of(run: BaseRun, rows: list[int], start: int = 0) -> BaseRun:
    """Take rows of a run from a position on, before which they have nothing but padding."""
    if start == 0 and rows == list(range(len(run.logits))):
        return run

    def cut(tensors: list[Tensor]) -> list[Tensor]:
        return [tensor[rows, start:] for tensor in tensors]

    return replace(
        run,
        embeds=run.embeds[rows, start:],
        mask=run.mask[rows, start:],
        position_ids=run.position_ids[rows, start:],
        resid=cut(run.resid),
        sites={site: cut(kept) for site, kept in run.sites.items()},
        keys=[keys[rows, :, start:] for keys in run.keys],
        values=[values[rows, :, start:] for values in run.values],
        logits=run.logits[rows],
    )


def embed(model: Model, ids: Int[Tensor, "row pos"]) -> Float[Tensor, "row pos width"]:
    """Look up the tokens' embeddings, without positions."""
    found: Tensor = model.hf.get_input_embeddings()(ids)
    return found


def forward_arguments(run: BaseRun, start: int = 0, rows: int | None = None) -> dict[str, Any]:
    """Arguments of the model's forward for positions from `start` (of the first `rows` rows)."""
    places = {"position_ids": run.position_ids[:rows, start:]}
    return {
        "inputs_embeds": run.embeds[:rows, start:],
        # Without padding no mask: the model then makes the cheapest one itself.
        "attention_mask": run.mask[:rows].long() if run.padded else None,
        "use_cache": True,
        "logits_to_keep": 1,
        **(places if run.model.takes_position_ids else {}),
    }


def in_form(run: BaseRun, module: str, tensor: Tensor) -> Any:
    """Return a tensor as the model's own `block` or `attn` would."""
    return of_form(run.forms[module], tensor)


def _note_form(run: BaseRun, name: str) -> Replacement:
    def replace(forward: Forward) -> Forward:
        def note(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            run.forms[name] = read_form(output)
            return output

        return note

    return replace


def _sights(run: BaseRun, sites: Sequence[Site]) -> dict[tuple[Site, int], See]:
    shape = (run.embeds.shape[0], run.embeds.shape[1])

    def keep(into: list[Tensor], activation: Tensor) -> None:
        into.append(as_batch(activation, shape))

    last = run.model.n_layers - 1
    sights: dict[tuple[Site, int], See] = {
        (site, layer): partial(keep, run.sites[site])
        for site in sites
        for layer in range(run.model.n_layers)
    }
    sights |= {("resid_pre", layer): partial(keep, run.resid) for layer in range(last + 1)}
    sights |= {("resid_post", last): partial(keep, run.resid)}
    return sights
