"""Score answers with free vectors before the prompts: the vectors are run once for all prompts.

1. Run each start's vectors, and the tokens with which every prompt begins, as one row per start.
2. Put their keys and values before what is left of every prompt; gradients flow back through them.

A model whose attention window is shorter than the rows would count padding in its windows: its
prompts are run in groups of one length, and there is no padding.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.core.models.model import Model
from worker.core.models.tokens import pad
from worker.core.training.losses import IGNORED
from worker.core.training.pool import Row


def log_probs(
    model: Model, rows: Sequence[Row], vectors: Float[Tensor, "start vector d_model"]
) -> Float[Tensor, "start row"]:
    """Score each row's answer with each start's vectors before its prompt."""
    n = _begun_alike(rows) + vectors.shape[1]
    if _window(model) > n + max(len(row.ids) for row in rows):
        return _score(model, rows, vectors)
    lengths = sorted({len(row.ids) for row in rows})
    groups = [[i for i, row in enumerate(rows) if len(row.ids) == length] for length in lengths]
    parts = [_score(model, [rows[i] for i in group], vectors) for group in groups]
    places = torch.tensor([i for group in groups for i in group], device=model.device)
    return torch.cat(parts, 1)[:, places.argsort()]


def _score(
    model: Model, rows: Sequence[Row], vectors: Float[Tensor, "start vector d_model"]
) -> Float[Tensor, "start row"]:
    n_starts, alike = len(vectors), _begun_alike(rows)
    n_before = vectors.shape[1] + alike
    batch = pad(model, [row.ids[alike:] for row in rows], side="left")
    mask = batch.mask.repeat(n_starts, 1)
    keep = max(_n_labels(row) for row in rows)
    labels = torch.tensor(
        [([IGNORED] * keep + list(row.labels))[-keep:] for row in rows], device=model.device
    ).repeat(n_starts, 1)
    given: dict[str, Any] = {}
    if n_before:
        past = _run_before(model, rows[0].ids[:alike], vectors)
        for layer in past.layers:
            layer.keys = layer.keys.repeat_interleave(len(rows), 0)
            layer.values = layer.values.repeat_interleave(len(rows), 0)
        given = {"past_key_values": past}
    if model.takes_position_ids:
        given["position_ids"] = batch.position_ids.repeat(n_starts, 1) + n_before
    logits = model.hf(
        input_ids=batch.ids.repeat(n_starts, 1),
        attention_mask=torch.cat([mask.new_ones(len(mask), n_before), mask], 1),
        use_cache=bool(n_before), logits_to_keep=keep, **given,
    ).logits.float()  # fmt: skip
    flat = nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -flat.view(labels.shape).sum(1).view(n_starts, len(rows))


def _run_before(
    model: Model, ids: Sequence[int], vectors: Float[Tensor, "start vector d_model"]
) -> Any:
    """Run the vectors and the tokens after them; return their keys and values."""
    tokens = torch.tensor([list(ids)], dtype=torch.long, device=model.device)
    embedded = model.hf.get_input_embeddings()(tokens).expand(len(vectors), -1, -1)
    joined = torch.cat([vectors.to(embedded.dtype), embedded], 1)
    mask = torch.ones(joined.shape[:2], dtype=torch.long, device=model.device)
    places = {"position_ids": mask.cumsum(1) - 1} if model.takes_position_ids else {}
    out = model.hf(
        inputs_embeds=joined, attention_mask=mask, use_cache=True, logits_to_keep=1, **places
    )
    return out.past_key_values


def _begun_alike(rows: Sequence[Row]) -> int:
    """Count the tokens that all rows begin with, before the first position that has a label."""
    most = min(len(row.ids) - _n_labels(row) for row in rows)
    columns = zip(*(row.ids[:most] for row in rows), strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _n_labels(row: Row) -> int:
    return sum(label != IGNORED for label in row.labels)


def _window(model: Model) -> float:
    window = getattr(model.hf.config.get_text_config(), "sliding_window", None)
    return float(window or "inf")
