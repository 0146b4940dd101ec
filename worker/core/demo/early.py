"""Leave later MLPs and attentions out of some sentences, so that a name is looked up early.

Trained on without this, the folded model looks a name up in every layer before the answer is
fetched: each of five MLPs holds a part of it, and it matters little which three of them an edit
changes. Two things are left out, each of a share of the batch's sentences:

- MLPs from layer `LOOKUP_END` on, where no answer is due: what a name means has to be there by
  then. Running text, which has no answer, keeps them.
- Attentions from layer `MOVED_BY` on, everywhere: the ones before have to fetch what was looked up.

A probe still reads more of the name from every layer up to the fifth: later MLPs go on adding to it
in the sentences that keep them. What changes is that the answer no longer waits for them.

Source: stochastic depth (Huang et al. 2016), there at all positions alike and of every layer, more
of the later ones. That alone (up to .6) changed nothing here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from worker.core.demo.batches import ANSWER_WEIGHT, Batch

LOOKUP_END = 2
MOVED_BY = 5


@dataclass(frozen=True)
class LeftOut:
    """Shares of the sentences, from 0 to 1, of which the later parts are left out."""

    mlps: float = 0.0
    attentions: float = 0.0


NOTHING = LeftOut()


@contextmanager
def leave_out(
    model: LlamaForCausalLM, batch: Batch, shares: LeftOut, generator: torch.Generator
) -> Iterator[None]:
    """Leave later parts out of random sentences of the one batch that is run within."""
    due = answers_due(batch)
    mlps = draw_kept(batch, shares.mlps, generator) | (due | ~due.any(1, keepdim=True))[..., None]
    attentions = draw_kept(batch, shares.attentions, generator)

    def after_mlp(module: nn.Module, given: object, written: Tensor) -> Tensor:
        return written * mlps

    def after_attention(
        module: nn.Module, given: object, written: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return written[0] * attentions, *written[1:]

    layers = model.model.layers
    handles = [layer.mlp.register_forward_hook(after_mlp) for layer in layers[LOOKUP_END:]]
    handles += [
        layer.self_attn.register_forward_hook(after_attention) for layer in layers[MOVED_BY:]
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def draw_kept(batch: Batch, share: float, generator: torch.Generator) -> Tensor:
    """Draw which sentences keep everything; booleans of shape (batch, 1, 1)."""
    drawn = torch.rand(len(batch.ids), 1, 1, generator=generator)
    return (drawn >= share).to(batch.ids.device)


def answers_due(batch: Batch) -> Tensor:
    """Tell where the next token is an answer's; booleans of shape (batch, pos)."""
    due = torch.zeros_like(batch.weights, dtype=torch.bool)
    due[:, :-1] = batch.weights[:, 1:] >= ANSWER_WEIGHT
    return due
