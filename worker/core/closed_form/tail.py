"""Run the last positions of a batch again and again, what stands before them kept.

A value at the subject's last token changes nothing before it: of a prompt behind an opening, a step
of its search need only run the few tokens from there on.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import Cache

from worker.core.models.model import Model
from worker.core.models.prefix import spread, windowed
from worker.core.training.forward import entering, logits_at_answers
from worker.core.training.pool import Batch


class Tail:
    """The last `width` positions of a batch, entered at `layer` where its states are kept.

    Rows longer than a window of the model's attention are run whole.
    """

    def __init__(self, model: Model, batch: Batch, layer: int, width: int) -> None:
        assert width >= batch.keep, "labels stand before what is run again"
        self.model, self.batch, self.layer = model, batch, layer
        self.begins = batch.ids.shape[1] - width
        whole = self.begins <= 0 or windowed(model, batch.ids.shape[1])
        self.past: Cache | None = None if whole else self._run_before()

    def logits(self) -> Float[Tensor, "batch keep vocab"]:
        """Compute the logits at the last `keep` positions, as the model is now."""
        if self.past is None:
            return logits_at_answers(self.model, self.batch, self.layer, share=False)
        past = copy.copy(self.past)
        past.layers = [copy.copy(layer) for layer in self.past.layers]
        rest = self.batch.cut(slice(None), slice(self.begins, None))
        with entering(self.model, rest, self.layer):
            out = self.model.run(rest.ids, self.batch.mask, rest.positions, self.batch.keep, past)
        assert out.logits is not None
        return out.logits.float()

    def _run_before(self) -> Cache:
        before = self.batch.cut(slice(None), slice(self.begins))
        with torch.no_grad(), entering(self.model, before, self.layer):
            out = self.model.run(before.ids, before.mask, before.positions, use_cache=True)
        past = out.past_key_values
        assert past is not None
        spread(past, len(before.ids), 0 if self.batch.hidden is None else self.layer)
        return past
