"""Run a batch from where training begins, to where its loss is read.

Below the lowest trained layer nothing changes during an edit, so what enters that layer is
computed once per row and put in again at every step: the blocks below are passed over. Above, what
all rows of a batch begin with runs once, and only the answers' positions are unembedded; a loss on
hidden states stops at its own layer.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.core.models.entering import entering_at
from worker.core.models.model import Model
from worker.core.models.prefix import logits_sharing
from worker.core.training.pool import Batch, Pool

CACHE_BYTES = 2 * 2**30
"""A pool whose hidden states would take more than this is run from the embeddings each time."""


class Reached(Exception):
    """Carries the hidden states out of a forward that need not go on."""

    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden


def logits_at_answers(
    model: Model, batch: Batch, layer: int = 0, share: bool = True
) -> Float[Tensor, "batch keep vocab"]:
    """Compute the logits at the batch's last `keep` positions, entering at `layer` if kept.

    `share` must be off inside hooks that count positions.
    """
    if not share:
        with entering(model, batch, layer):
            return model.logits(batch.ids, batch.mask, batch.positions, keep=batch.keep)
    return logits_sharing(
        model,
        batch.ids,
        batch.mask,
        batch.positions,
        batch.keep,
        around=lambda rows, places: entering(model, batch.cut(rows, places), layer),
        below=0 if batch.hidden is None else layer,
    )


def hidden_before(
    model: Model, batch: Batch, target: int, layer: int = 0
) -> Float[Tensor, "batch pos d_model"]:
    """Compute what enters block `target` (after the last block: `n_layers`), and stop there.

    `layer` is where the batch's kept hidden states enter.
    """
    block = model.blocks[min(target, model.n_layers - 1)]
    with ExitStack() as stack:
        stack.enter_context(entering(model, batch, layer))
        if target < model.n_layers:
            hook = block.register_forward_pre_hook(_leave_before, with_kwargs=True)
        else:
            hook = block.register_forward_hook(_leave_after)
        stack.callback(hook.remove)
        try:
            model.logits(batch.ids, batch.mask, batch.positions, keep=1)
        except Reached as reached:
            return reached.hidden
    raise AssertionError(f"block {target} was never reached")


def with_entering(model: Model, pool: Pool, layer: int, batch_size: int = 32) -> Pool:
    """Keep what enters `layer` for every row of a pool, where that fits CACHE_BYTES."""
    size = pool.all.ids.numel() * model.d_model * torch.finfo(model.dtype).bits // 8
    if layer == 0 or size > CACHE_BYTES:
        return pool
    hidden = torch.zeros(
        *pool.all.ids.shape, model.d_model, dtype=model.dtype, device=pool.all.ids.device
    )
    with torch.no_grad():
        for batch in pool.batches(batch_size):
            found = hidden_before(model, batch, layer)
            hidden[batch.index, -found.shape[1] :] = found
    return pool.with_hidden(hidden)


@contextmanager
def entering(model: Model, batch: Batch, layer: int) -> Iterator[None]:
    """Enter at `layer` with the batch's kept hidden states, or at the embeddings without any."""
    if batch.hidden is None:
        yield
        return
    with entering_at(model, batch.hidden, layer):
        yield


def _leave_before(block: nn.Module, args: tuple, kwargs: dict) -> None:  # type: ignore[type-arg]
    raise Reached(args[0] if args else kwargs["hidden_states"])


def _leave_after(block: nn.Module, args: object, output: object) -> None:
    raise Reached(output[0] if isinstance(output, tuple) else output)  # type: ignore[arg-type]
