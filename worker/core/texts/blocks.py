"""A text in blocks of tokens, and a model's predictions along a block."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError
from worker.core.models.model import Model


@dataclass(frozen=True)
class Block:
    """One block of text: its tokens and their characters, counted from the block's beginning."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    start: int
    """The character of the whole text at which the block begins."""


def encode_block(model: Model, text: str, start: int = 0) -> Block:
    """Cut one passage into tokens as a text of its own."""
    found = model.tokenizer(text, return_offsets_mapping=True)
    pairs = tuple((int(a), int(b)) for a, b in found["offset_mapping"])
    return Block(text, tuple(found["input_ids"]), pairs, start)


def cut(model: Model, text: str, size: int) -> list[Block]:
    """Cut a text into blocks of at most `size` tokens, each of which begins as a text does.

    Raises UserError where the model reads no block of that size, and for a text without tokens.
    """
    if size >= model.max_positions:
        raise UserError(
            f"Blocks of {size} tokens are asked, and {model.id!r} reads at most "
            f"{model.max_positions}; expected fewer. Lower options.block.",
            field="options.block",
        )
    found = model.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    offsets = found["offset_mapping"]
    blocks = []
    for first in range(0, len(offsets), size):
        start, stop = offsets[first][0], offsets[min(first + size, len(offsets)) - 1][1]
        block = encode_block(model, text[start:stop], start)
        if len(block.ids) > 2:
            blocks.append(block)
    if not blocks:
        raise UserError(
            f"The text has {len(text)} characters and no block of 3 tokens; expected a text to "
            f"forget. Give a longer one.",
            field="options.text",
        )
    return blocks


@torch.no_grad()
def predict(model: Model, ids: Sequence[int]) -> Float[Tensor, "pos vocab"]:
    """Compute the float32 logits after every token of one row, without gradients."""
    tokens = torch.tensor([list(ids)], device=model.device)
    positions = torch.arange(tokens.shape[1], device=model.device)
    return model.logits(tokens, torch.ones_like(tokens), positions[None], keep=tokens.shape[1])[0]


def said_log_probs(
    logits: Float[Tensor, "pos vocab"], ids: Sequence[int]
) -> Float[Tensor, " pos_less_one"]:
    """Take log p of each token but the first, as the one before it predicts it."""
    labels = torch.tensor(ids[1:], device=logits.device)[:, None]
    return logits[:-1].float().log_softmax(-1).gather(-1, labels)[:, 0]
