"""Hidden states of prompts at every depth, and what the unembedding reads from them."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.contract.facts import Fact
from worker.core.models.entering import entering_at
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact
from worker.core.models.tokens import Batch, Prompt, pad

Position = Literal["last", "subject"]


def depths(model: Model) -> tuple[str, ...]:
    """Name the depths at which the residual is read: the embeddings, then after each block."""
    return ("embeddings", *(f"after {layer}" for layer in range(model.n_layers)))


@torch.no_grad()
def hidden_states(
    model: Model, facts: Sequence[Fact], position: Position = "last", batch_size: int = 64
) -> Float[Tensor, "depth fact d_model"]:
    """Read the residual of each fact's prompt at one position, at every depth, in float32."""
    found: list[Tensor] = []
    prompts = [encode_fact(model, fact) for fact in facts]
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        batch = pad(model, part, side="left")
        width = batch.ids.shape[1]
        places = [width - 1 if position == "last" else _subject_end(p, width) for p in part]
        rows = torch.arange(len(part))
        found.append(torch.stack([h[rows, places] for h in all_states(model, batch)]).float())
    return torch.cat(found, 1)


@torch.no_grad()
def all_states(model: Model, batch: Batch) -> list[Float[Tensor, "batch pos d_model"]]:
    """Read the whole residual at every depth: what enters block 0, then what leaves each block."""
    seen: list[Tensor] = []

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:  # type: ignore[type-arg]
        seen.append((args[0] if args else kwargs["hidden_states"]).clone())

    def leave(module: nn.Module, args: object, output: object) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)  # type: ignore[arg-type]

    with ExitStack() as stack:
        hook = model.blocks[0].register_forward_pre_hook(enter, with_kwargs=True)
        stack.callback(hook.remove)
        for block in model.blocks:
            stack.callback(block.register_forward_hook(leave).remove)
        model.logits(batch.ids, batch.mask, batch.position_ids, keep=1)
    return seen


@torch.no_grad()
def logits_from(
    model: Model, batch: Batch, hidden: Float[Tensor, "batch pos d_model"], depth: int
) -> Float[Tensor, "batch vocab"]:
    """Put a residual in at a depth and run the blocks above; give the last position's logits.

    At the last depth only the final norm and the unembedding run: the logit lens.
    """
    with entering_at(model, hidden, depth):
        return model.logits(batch.ids, batch.mask, batch.position_ids, keep=1)[:, -1]


@torch.no_grad()
def lens(
    model: Model, batch: Batch, states: Sequence[Float[Tensor, "batch pos d_model"]]
) -> Float[Tensor, "depth batch vocab"]:
    """Read every depth through the final norm and the unembedding, as log probabilities."""
    read = [logits_from(model, batch, hidden, model.n_layers) for hidden in states]
    return torch.stack(read).log_softmax(-1)


def _subject_end(prompt: Prompt, width: int) -> int:
    return width - len(prompt.ids) + prompt.subject[1] - 1
