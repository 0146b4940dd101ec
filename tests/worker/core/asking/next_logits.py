"""The logits after many prompts, together."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.asking.scoring import next_batches
from worker.core.models.model import Model


def next_logits(model: Model, prompts: Sequence[str]) -> Float[Tensor, "n vocab"]:
    """Put the batches that are computed into the prompts' order."""
    found: dict[int, Tensor] = {}
    for chosen, logits in next_batches(model, prompts):
        found |= zip(chosen, logits, strict=True)
    return torch.stack([found[i] for i in range(len(prompts))])
