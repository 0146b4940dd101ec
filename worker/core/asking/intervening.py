"""Interventions on a fact set: what they put in is taken from the set's own prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.facts import Fact
from worker.contract.interventions import Intervention
from worker.core.models.changes import Reference, make_changes, watching
from worker.core.models.deltas import edited
from worker.core.models.interventions import Change
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact
from worker.core.models.sites import as_batch
from worker.core.models.tokens import pad

FACTS = 64
"""Facts whose prompts are the reference, the first of the set."""
_ROWS = 16


def changes_on(
    model: Model,
    interventions: Sequence[Intervention],
    deltas: Sequence[Path],
    facts: Sequence[Fact],
    seed: int,
) -> tuple[Change, ...]:
    """Find what interventions put into the model with its edits; raises UserError in words."""

    @torch.no_grad()
    def tokens(wanted: Sequence[Intervention]) -> list[Float[Tensor, "token width"]]:
        prompts = [encode_fact(model, fact) for fact in facts[:FACTS]]
        found: list[list[Tensor]] = [[] for _ in wanted]
        with edited(model, list(deltas)):
            for start in range(0, len(prompts), _ROWS):
                batch = pad(model, prompts[start : start + _ROWS])
                with watching(model, wanted) as seen:
                    model.logits(batch.ids, batch.mask, batch.position_ids)
                shape = (batch.ids.shape[0], batch.ids.shape[1])
                for into, kept in zip(found, seen, strict=True):
                    into.append(as_batch(kept[0], shape)[batch.mask.bool()])
        return [torch.cat(parts) for parts in found]

    return tuple(make_changes(model, interventions, Reference(tokens), seed))
