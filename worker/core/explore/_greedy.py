"""Prompts continued greedily from a base run, whose keys and values are kept already."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import Cache, DynamicLayer

from worker.contract.progress import Report
from worker.core.models.base_run import BaseRun


@torch.no_grad()
def go_on(
    base: BaseRun, n_new: int, report: Report, rows: Sequence[int] | None = None
) -> list[list[int]]:
    """Give the likeliest tokens after each of `rows` (all), to its end token or `n_new`.

    No more than the model has positions for; the report may end it after each token.
    """
    model = base.model
    n_new = min(n_new, model.max_positions - int(base.mask.sum(1).max()))
    chosen = list(range(len(base.logits))) if rows is None else list(rows)
    new: list[list[int]] = [[] for _ in chosen]
    if n_new <= 0:
        return new
    past, mask, logits = _past(base, chosen), base.mask[chosen].long(), base.logits[chosen]
    places, done = base.position_ids[chosen, -1:], [False] * len(new)
    for left in range(n_new, 0, -1):
        report.progress(1 - left / n_new, "going on from the prompt")
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


def _past(base: BaseRun, rows: list[int]) -> Cache:
    """A cache that holds the rows' keys and values and grows."""
    layers = []
    for keys, values in zip(base.keys, base.values, strict=True):
        layer = DynamicLayer()
        layer.update(keys[rows], values[rows])
        layers.append(layer)
    return Cache(layers=[*layers])
