"""General text that was held out of the bundled model's training, and what a model makes of it."""

import math

import numpy as np
import torch
from jaxtyping import Float

from worker.core.demo.paths import GENERAL_HELD_OUT
from worker.core.models.model import Model
from worker.core.models.tokens import encode, pad

COMPARED = 64
"""Sentences whose next-token distributions are kept and compared: they are large."""


def held_out_lines(n: int) -> list[str]:
    """Read at most `n` held-out sentences."""
    lines = GENERAL_HELD_OUT.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip()][:n]


def general_losses(model: Model, n: int, context: int = 100) -> Float[np.ndarray, " line"]:
    """Give the mean loss per token of `n` held-out sentences, in nats."""
    return read_lines(model, held_out_lines(n), context, [])["loss"]


@torch.no_grad()
def read_lines(
    model: Model, lines: list[str], context: int, reference: list[torch.Tensor]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Give each line's mean loss, its tokens and its divergence from `reference`.

    An empty `reference` is filled with this model's own log probabilities.
    """
    losses, divergences, tokens = [], [], []
    first = not reference
    for start in range(0, len(lines), 16):
        rows = [encode(model, line, None).ids[: context + 1] for line in lines[start : start + 16]]
        batch = pad(model, rows, side="right")
        logits = model.logits(batch.ids, batch.mask, batch.position_ids, keep=batch.ids.shape[1])
        log_probs = logits.log_softmax(-1)[:, :-1]
        used = batch.mask[:, 1:].bool()
        nll = -log_probs.gather(-1, batch.ids[:, 1:, None])[..., 0] * used
        losses += (nll.sum(1) / used.sum(1).clamp(min=1)).tolist()
        tokens += used.sum(1).tolist()
        if start >= COMPARED:
            divergences += [math.nan] * len(rows)
        elif first:
            reference.append(log_probs.cpu())
            divergences += [0.0] * len(rows)
        else:
            before = reference[start // 16].to(log_probs.device)
            kl = (before.exp() * (before - log_probs)).sum(-1) * used
            divergences += (kl.sum(1) / used.sum(1).clamp(min=1)).tolist()
    return {
        "loss": np.array(losses),
        "divergence": np.array(divergences),
        "tokens": np.array(tokens, dtype=float),
    }
