"""In which form a family's blocks give what they compute: a tensor, or a tuple that begins with it.

What stands in for a block must answer as the block would: the model's forward takes the first of a
tuple, and of a bare tensor it would take the first row.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from worker.core.models.model import Model

_forms: WeakKeyDictionary[Model, int] = WeakKeyDictionary()


class _Seen(Exception):
    """The first block answered; the rest of the forward is not needed."""


def learn_block_form(model: Model) -> int:
    """Give how many things a block of the model gives, 0 for a bare tensor; one token is run once.

    Where hooks look at what is run, learn it before they are put on.
    """
    if model not in _forms:
        _forms[model] = _look(model)
    return _forms[model]


def as_block(model: Model, hidden: Tensor) -> Tensor | tuple[Tensor | None, ...]:
    """Put hidden states into the form in which the model's blocks answer."""
    n = learn_block_form(model)
    return (hidden, *[None] * (n - 1)) if n else hidden


@torch.no_grad()
def _look(model: Model) -> int:
    def leave(block: object, args: object, output: object) -> None:
        seen.append(len(output) if isinstance(output, tuple) else 0)
        raise _Seen

    seen: list[int] = []
    hook = model.blocks[0].register_forward_hook(leave)
    one = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    try:
        model.logits(one, torch.ones_like(one), one, keep=1)
    except _Seen:
        pass
    finally:
        hook.remove()
    return seen[0]
