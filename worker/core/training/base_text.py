"""Holds the general text to what the model said of it before the edit.

What leaves the last block is kept for every row (d_model numbers a token, where the distributions
would be a vocabulary), and goes through the final norm and the unembedding again when a step needs
it: these are in no mask, so the base's distributions come out, exact at every token.
"""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.forward import hidden_before, logits_at_answers
from worker.core.training.pool import Batch, Pool

KEPT_BYTES = 2**29
"""Of kept states, at most: of longer texts fewer rows are trained on, and come again sooner."""
READ_AT_ONCE = 16


class BaseText:
    """The general rows with what the base made of them, read when it is first asked for."""

    def __init__(self, model: Model, general: Pool, layer: int) -> None:
        """`layer` is where the rows' kept hidden states enter."""
        self._model, self._layer = model, layer
        row = general.all.ids.shape[1] * model.d_model * torch.finfo(model.dtype).bits // 8
        self.pool = general.first(max(1, KEPT_BYTES // row))

    def read(self) -> BaseText:
        """Keep what the model makes of the rows as it is now, unless that was done."""
        assert self._left is not None
        return self

    def logits(self, batch: Batch) -> Float[Tensor, "batch keep vocab"]:
        """Give the base's logits at the labels' places of some rows."""
        left = self._left[batch.index, -batch.ids.shape[1] :]
        with torch.no_grad():
            return logits_at_answers(
                self._model, batch.entering(left), self._model.n_layers, share=False
            )

    def divergence(
        self, logits: Float[Tensor, "batch keep vocab"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Average KL(base ‖ now) over the labels of some rows."""
        return _losses.divergence(logits, self.logits(batch), batch.labels)

    @cached_property
    def _left(self) -> Float[Tensor, "row pos d_model"]:
        ids = self.pool.all.ids
        kept = torch.zeros(
            *ids.shape, self._model.d_model, dtype=self._model.dtype, device=ids.device
        )
        with torch.no_grad():
            for batch in self.pool.batches(READ_AT_ONCE):
                found = hidden_before(self._model, batch, self._model.n_layers, self._layer)
                kept[batch.index, -found.shape[1] :] = found
        return kept
