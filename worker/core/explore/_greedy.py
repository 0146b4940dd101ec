"""Prompts continued greedily from a base run, whose keys and values are kept already."""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer

from worker.core.models.base_run import BaseRun


@torch.no_grad()
def go_on(base: BaseRun, n_new: int) -> list[list[int]]:
    """Give the likeliest tokens after each row, to its end token or `n_new`.

    No more than the model has positions for.
    """
    model = base.model
    n_new = min(n_new, model.max_positions - int(base.mask.sum(1).max()))
    new: list[list[int]] = [[] for _ in base.logits]
    if n_new <= 0:
        return new
    past, mask, logits = _past(base), base.mask.long(), base.logits
    places, done = base.position_ids[:, -1:], [False] * len(new)
    for left in range(n_new, 0, -1):
        token = logits.argmax(-1)
        for row, value in enumerate(token.tolist()):
            done[row] = done[row] or value == model.end_id
            if not done[row]:
                new[row].append(value)
        if all(done) or left == 1:
            break
        places = places + 1
        mask = torch.cat([mask, mask.new_ones(len(done), 1)], dim=1)
        out = model.run(token[:, None], mask, places, past=past)
        assert out.logits is not None
        logits = out.logits[:, -1].float()
    return new


def _past(base: BaseRun) -> Cache:
    """A cache that holds every row's keys and values and grows."""
    layers = []
    for keys, values in zip(base.keys, base.values, strict=True):
        layer = DynamicLayer()
        layer.update(keys, values)
        layers.append(layer)
    return Cache(layers=[*layers])
