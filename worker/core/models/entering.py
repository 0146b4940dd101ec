"""Enter a model at one of its layers: the blocks below are passed over.

What stands in for a block must answer as the family's blocks do, with a tensor or a tuple that
begins with it: the model's forward takes the first of a tuple, and of a bare tensor it would take
the first row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.core.kept import once_for_each
from worker.core.models.intercept import of_form, read_form
from worker.core.models.model import Model


class _Seen(Exception):
    """The first block answered; the rest of the forward is not needed."""


@contextmanager
def entering_at(
    model: Model, hidden: Float[Tensor, "batch pos d_model"], layer: int
) -> Iterator[None]:
    """Pass over the blocks below `layer` and put hidden states in there.

    At `n_layers` all blocks are passed over: only the final norm and the unembedding run. The form
    of the blocks is learnt at the first call for a model, by one block's run on one token.
    """
    below: list[nn.Module] = list(model.blocks[:layer])
    form = block_form(model) if below else 0

    def pass_over(hidden_states: Tensor, *args: object, **kwargs: object) -> object:
        return of_form(form, hidden_states)

    for block in below:
        block.forward = pass_over
    entered = model.blocks[min(layer, model.n_layers - 1)]
    hook = entered.register_forward_pre_hook(_replace(hidden), with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
        for block in below:
            del block.forward


def _replace(hidden: Tensor) -> Callable[..., object]:
    def replace(block: nn.Module, args: tuple, kwargs: dict) -> object:  # type: ignore[type-arg]
        if args:
            return (hidden, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": hidden}

    return replace


@once_for_each
@torch.no_grad()
def block_form(model: Model) -> int:
    """Give how many things a block of the model gives, 0 for a bare tensor."""

    def leave(block: object, args: object, output: object) -> None:
        seen.append(read_form(output))
        raise _Seen

    seen: list[int] = []
    hook = model.blocks[0].register_forward_hook(leave)
    one = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    try:
        with suppress(_Seen):
            model.logits(one, torch.ones_like(one), one, keep=1)
    finally:
        hook.remove()
    return seen[0]
