"""What a model makes of ordinary text that no training here has seen."""

import math

import numpy as np
import torch
from jaxtyping import Float

from worker.core.asking.passages import held_out_passages
from worker.core.models.model import Model
from worker.core.models.tokens import pad, passage_ids

COMPARED = 64
"""Passages whose next-token distributions are kept and compared."""
KEPT_BYTES = 2**27
"""Of kept distributions, at most: under a large vocabulary every few tokens have one."""
LOGITS_BYTES = 2**27
"""Of float32 logits computed at once, at most."""


def general_losses(model: Model, n: int, context: int = 100) -> Float[np.ndarray, " line"]:
    """Give the mean loss per token of `n` held-out passages, in nats."""
    return read_lines(model, held_out_passages(model)[:n], context, [])["loss"]


@torch.no_grad()
def read_lines(
    model: Model, lines: list[str], context: int, reference: list[torch.Tensor]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Give each line's mean loss, its tokens and its divergence KL(before ‖ now) from `reference`.

    All in nats per token. An empty `reference` is filled with this model's own log probabilities of
    every line compared, one tensor (token, vocabulary) each; lines past those have NaN.
    """
    first, losses, divergences, tokens = not reference, [], [], []
    rows = [passage_ids(model, line, context + 1) for line in lines]
    size = 4 * model.d_vocab
    at_once = max(1, min(16, LOGITS_BYTES // (size * (context + 1))))
    stride = math.ceil(size * sum(map(len, rows[:COMPARED])) / KEPT_BYTES)
    for start in range(0, len(rows), at_once):
        batch = pad(model, rows[start : start + at_once], side="right")
        logits = model.logits(batch.ids, batch.mask, batch.position_ids, keep=batch.ids.shape[1])
        log_probs = logits.log_softmax(-1)[:, :-1]
        used = batch.mask[:, 1:].bool()
        nll = -log_probs.gather(-1, batch.ids[:, 1:, None])[..., 0] * used
        losses += (nll.sum(1) / used.sum(1).clamp(min=1)).tolist()
        tokens += used.sum(1).tolist()
        for line, own in enumerate(log_probs, start):
            now = own[: tokens[line] : stride]
            if line >= COMPARED:
                divergences.append(math.nan)
            elif first:
                reference.append(now.cpu().clone())
                divergences.append(0.0)
            else:
                divergences.append(_divergence(reference[line].to(now.device), now))
    return {
        "loss": np.array(losses),
        "divergence": np.array(divergences),
        "tokens": np.array(tokens, dtype=float),
    }


def _divergence(
    before: Float[torch.Tensor, "token vocab"], now: Float[torch.Tensor, "token vocab"]
) -> float:
    """Average KL(before ‖ now) over tokens, in nats."""
    return float((before.exp() * (before - now)).sum(-1).mean()) if len(now) else 0.0
