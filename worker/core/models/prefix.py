"""Compute once what the rows of a batch begin with.

Prompts of one template share their first tokens (a shot, an instruction), and in a causal model
these do not depend on what follows. They are run as one row; its keys and values stand before the
rest of every row, and gradients flow back through them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from worker.core.models.model import Model

LEAST_SAVED, AT_WIDTH = 256, 128
"""Tokens that must be saved at this width, where a second, short forward costs as much."""
LEAST_OF_ALL = 16
"""Tokens that must be saved at any width: a second forward reads all weights again."""
BEGINNING = 6
"""First tokens by which rows are put together, so that a batch has a beginning to share."""
FEWEST = 8
"""Rows of one beginning that make a batch worth being of them alone."""


def shared_length(
    model: Model, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"], keep: int
) -> int:
    """Count the tokens that all rows, padded on the left, begin with; 0 where sharing gains little.

    The last `keep` positions and each row's last token stay out of it; see also `windowed`.
    """
    n_rows, width = ids.shape
    lengths = mask.sum(1)
    most = min(int(lengths.min()) - 1, width - keep)
    least = least_saved(model.d_model)
    if most * (n_rows - 1) < least or windowed(model, width):
        return 0
    places = (width - lengths)[:, None] + torch.arange(most, device=ids.device)
    begun = ids.gather(1, places)
    n = int((begun == begun[:1]).all(0).long().cumprod(0).sum())
    return n if n * (n_rows - 1) >= least else 0


def least_saved(width: int) -> float:
    """Give the tokens that pay for a second forward of a model of this width.

    A token's work goes as the width squared, a short forward's as the number of its operations.
    """
    return min(LEAST_SAVED, max(LEAST_OF_ALL, LEAST_SAVED * (AT_WIDTH / width) ** 2))


def windowed(model: Model, width: int) -> bool:
    """Whether a row of so many positions is longer than a window of the model's attention.

    Padding between kept keys and a row's own would then stand inside its windows.
    """
    window: int | None = getattr(model.hf.config.get_text_config(), "sliding_window", None)
    return bool(window) and width >= (window or 0)


def mask_after(mask: Int[Tensor, "batch pos"], n: int) -> Int[Tensor, "batch pos"]:
    """Show the first `n` columns to every row, and hide what is left of its first `n` tokens."""
    width = mask.shape[1]
    places = torch.arange(width, device=mask.device)
    begins = (width - mask.sum(1) + n)[:, None]
    return ((places < n) | (places >= begins)).to(mask.dtype)


def spread(past: Cache, n_rows: int, below: int = 0) -> None:
    """Put the keys and values before `n_rows` rows, without a copy.

    Blocks below `below` were passed over and hold none; masks are sized by the first block's.
    """
    for layer in past.layers[below:]:
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None and layer.values is not None
        layer.keys = layer.keys.expand(n_rows, *layer.keys.shape[1:])
        layer.values = layer.values.expand(n_rows, *layer.values.shape[1:])
    past.layers[:below] = [past.layers[below]] * below


Around = Callable[[slice, slice], AbstractContextManager[None]]
"""Gives what a forward of some rows and places of a batch runs inside."""


def logits_sharing(
    model: Model,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
    keep: int = 1,
    around: Around = lambda rows, places: nullcontext(),
    below: int = 0,
) -> Float[Tensor, "batch keep vocab"]:
    """Compute `Model.logits` of rows padded on the left, what they share only once.

    `around` is entered about each forward; `below` is how many blocks it passes over. Not for use
    inside hooks that count positions: they would see two forwards of other widths.
    """
    n, rows = shared_length(model, ids, mask, keep), slice(None)
    if n == 0:
        with around(rows, slice(None)):
            return model.logits(ids, mask, position_ids, keep)
    start = int(mask.shape[1] - mask[0].sum())
    one, first, rest = slice(1), slice(start, start + n), slice(n, None)
    with around(one, first):
        shared = ids[one, first], mask[one, first], position_ids[one, first]
        past = model.run(*shared, use_cache=True).past_key_values
    assert past is not None
    spread(past, len(ids), below)
    with around(rows, rest):
        own = ids[:, rest], mask_after(mask, n), position_ids[:, rest]
        logits = model.run(*own, keep, past).logits
    assert logits is not None
    return logits.float()


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
