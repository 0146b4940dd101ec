"""Compute once what the rows of a batch begin with.

Prompts of one template share their first tokens (a shot, an instruction), and in a causal model
these do not depend on what follows. They are run as one row; its keys and values stand before the
rest of every row, and gradients flow back through them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache

from worker.core.models.model import Model

LEAST_SAVED = 256
"""Tokens that must be saved: a second, short forward costs as much on a small model."""
BEGINNING = 6
"""First tokens by which rows are put together, so that a batch has a beginning to share."""
FEWEST = 8
"""Rows of one beginning that make a batch worth being of them alone."""


def shared_length(
    model: Model, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"], keep: int
) -> int:
    """Count the tokens that all rows, padded on the left, begin with; 0 where sharing gains little.

    The last `keep` positions and each row's last token stay out of it. Models with an attention
    window shorter than the rows share nothing: padding would stand inside their windows.
    """
    n_rows, width = ids.shape
    window = getattr(model.hf.config.get_text_config(), "sliding_window", None)
    lengths = mask.sum(1)
    most = min(int(lengths.min()) - 1, width - keep)
    if most * (n_rows - 1) < LEAST_SAVED or (window and width >= window):
        return 0
    places = (width - lengths)[:, None] + torch.arange(most, device=ids.device)
    begun = ids.gather(1, places)
    n = int((begun == begun[:1]).all(0).long().cumprod(0).sum())
    return n if n * (n_rows - 1) >= LEAST_SAVED else 0


def first_place(mask: Int[Tensor, "batch pos"]) -> int:
    """Where the first row, padded on the left, begins."""
    return int(mask.shape[1] - mask[0].sum())


def mask_after(mask: Int[Tensor, "batch pos"], n: int) -> Int[Tensor, "batch rest"]:
    """Cut `n` columns off and hide what is left of each row's first `n` tokens."""
    width = mask.shape[1]
    begins = (width - mask.sum(1) + n)[:, None]
    return (torch.arange(n, width, device=mask.device) >= begins).to(mask.dtype)


def run_prefix(model: Model, ids: Int[Tensor, "1 n"]) -> Cache:
    """Run what is shared as one row; return its keys and values."""
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    places = {"position_ids": positions} if model.takes_position_ids else {}
    out = model.hf(
        input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, logits_to_keep=1,
        **places,
    )  # fmt: skip
    past: Cache = out.past_key_values
    return past


def spread(past: Cache, n_rows: int, below: int = 0) -> None:
    """Put the keys and values before `n_rows` rows, without a copy.

    Blocks below `below` were passed over and hold none; masks are sized by the first block's.
    """
    for layer in past.layers[below:]:
        layer.keys = layer.keys.expand(n_rows, *layer.keys.shape[1:])
        layer.values = layer.values.expand(n_rows, *layer.values.shape[1:])
    past.layers[:below] = [past.layers[below]] * below


def logits_after(
    model: Model,
    past: Cache,
    n: int,
    ids: Int[Tensor, "batch rest"],
    mask: Int[Tensor, "batch rest"],
    position_ids: Int[Tensor, "batch rest"],
    keep: int = 1,
) -> Float[Tensor, "batch keep vocab"]:
    """Run the rest of every row after `n` shared tokens; float32 logits of the last positions."""
    places = {"position_ids": position_ids} if model.takes_position_ids else {}
    out = model.hf(
        input_ids=ids, attention_mask=torch.cat([mask.new_ones(len(mask), n), mask], dim=1),
        past_key_values=past, use_cache=True, logits_to_keep=keep, **places,
    )  # fmt: skip
    return out.logits.float()


def logits_sharing(
    model: Model,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
    keep: int = 1,
) -> Float[Tensor, "batch keep vocab"]:
    """Compute `Model.logits` of rows padded on the left, what they share only once.

    Not for use inside hooks that count positions: they would see two forwards of other widths.
    """
    n = shared_length(model, ids, mask, keep)
    if n == 0:
        return model.logits(ids, mask, position_ids, keep)
    start = first_place(mask)
    past = run_prefix(model, ids[:1, start : start + n])
    spread(past, len(ids))
    return logits_after(model, past, n, ids[:, n:], mask_after(mask, n), position_ids[:, n:], keep)


def in_order(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Group rows by what they begin with, each group from its shortest to its longest.

    Rows whose beginning few others have stand together in the last group.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(tuple(row[:BEGINNING]), []).append(i)
    large = [group for group in groups.values() if len(group) >= FEWEST]
    rest = [i for group in groups.values() if len(group) < FEWEST for i in group]
    return [sorted(group, key=lambda i: len(rows[i])) for group in (*large, rest) if group]
