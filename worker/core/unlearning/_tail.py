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
from worker.core.unlearning._forward import entering, logits_at_answers
from worker.core.unlearning._pool import Batch


class Tail:
    """The last `width` positions of a batch, entered at `layer` where its states are kept.

    Models with an attention window shorter than the rows are run whole: padding would stand inside
    their windows.
    """

    def __init__(self, model: Model, batch: Batch, layer: int, width: int) -> None:
        assert width >= batch.keep, "labels stand before what is run again"
        self.model, self.batch, self.layer = model, batch, layer
        self.begins = batch.ids.shape[1] - width
        window = getattr(model.hf.config.get_text_config(), "sliding_window", None)
        short = window and batch.ids.shape[1] >= window
        self.past: Cache | None = None if self.begins <= 0 or short else self._run_before()

    def logits(self) -> Float[Tensor, "batch keep vocab"]:
        """Compute the logits at the last `keep` positions, as the model is now."""
        if self.past is None:
            return logits_at_answers(self.model, self.batch, self.layer, share=False)
        past = copy.copy(self.past)
        past.layers = [copy.copy(layer) for layer in self.past.layers]
        rest = self.batch.cut(slice(None), slice(self.begins, None))
        return self._run(rest, past, self.batch.keep).logits.float()  # type: ignore[no-any-return]

    def _run_before(self) -> Cache:
        with torch.no_grad():
            before = self.batch.cut(slice(None), slice(self.begins))
            past: Cache = self._run(before, None, 1).past_key_values
        below = 0 if self.batch.hidden is None else self.layer
        past.layers[:below] = [past.layers[below]] * below
        return past

    def _run(self, part: Batch, past: Cache | None, keep: int):  # type: ignore[no-untyped-def]
        mask = part.mask if past is None else self.batch.mask
        places = {"position_ids": part.positions} if self.model.takes_position_ids else {}
        with entering(self.model, part, self.layer):
            return self.model.hf(
                input_ids=part.ids, attention_mask=mask, past_key_values=past, use_cache=True,
                logits_to_keep=keep, **places,
            )  # fmt: skip
