"""What a model expects next: answers scored by teacher forcing, and next-token logits.

Log-softmax in float32; logits of the answer's positions only; prompts of like beginning and length
share a batch, in which what all begin with runs once; a prompt that is asked for several answers of
one token runs once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.core.models.batches import fitting
from worker.core.models.model import Model
from worker.core.models.prefix import in_order, logits_sharing
from worker.core.models.tokens import answer_ids, encode, pad

BATCH_SIZE = 64


@dataclass(frozen=True)
class Scores:
    """One row per (prompt, answer). Log-probabilities are natural logarithms, on the CPU."""

    log_prob: Float[Tensor, " n"]
    """Of the whole answer: summed over its tokens, each given the true ones before it."""
    first_log_prob: Float[Tensor, " n"]
    rank: Int[Tensor, " n"]
    """Of the answer's first token among all tokens; 0 is the model's own choice."""
    top5: Int[Tensor, "n 5"]
    """Token ids that the model finds likeliest after the prompt."""
    n_tokens: Int[Tensor, " n"]


@torch.no_grad()
def score_answers(
    model: Model, items: Sequence[tuple[str, str]], batch_size: int = BATCH_SIZE
) -> Scores:
    """Score each (prompt, answer): the answer's tokens after the prompt, teacher-forced."""
    answers = [answer_ids(model, prompt, answer) for prompt, answer in items]
    prompts = {prompt: prompt_ids(model, prompt) for prompt, _ in items}
    asked: dict[tuple[int, ...], list[int]] = {}
    for i, ((prompt, _), answer) in enumerate(zip(items, answers, strict=True)):
        asked.setdefault((*prompts[prompt], *answer[:-1]), []).append(i)
    rows = list(asked)
    n = len(items)
    log_prob, first = torch.zeros(n), torch.zeros(n)
    rank, top5 = torch.zeros(n, dtype=torch.long), torch.zeros(n, 5, dtype=torch.long)
    for chosen in buckets(rows, batch_size):
        keep = max(len(answers[i]) for row in chosen for i in asked[rows[row]])
        batch = pad(model, [list(rows[row]) for row in chosen])
        logits = logits_sharing(model, batch.ids, batch.mask, batch.position_ids, keep)
        log_probs = logits.log_softmax(-1)
        for place, i in ((place, i) for place, row in enumerate(chosen) for i in asked[rows[row]]):
            own = log_probs[place, keep - len(answers[i]) :]
            token = torch.tensor(answers[i], device=own.device)
            each = own.gather(-1, token[:, None])[:, 0]
            log_prob[i], first[i] = each.sum(), each[0]
            rank[i] = (own[0] > each[0]).sum()
            top5[i, : own.shape[-1]] = own[0].topk(min(5, own.shape[-1])).indices
    return Scores(log_prob, first, rank, top5, torch.tensor([len(a) for a in answers]))


@torch.no_grad()
def next_batches(
    model: Model, prompts: Sequence[str], batch_size: int = BATCH_SIZE
) -> Iterator[tuple[list[int], Float[Tensor, "row vocab"]]]:
    """Compute the logits of the token after each prompt, in float32 on the CPU.

    Batch by batch, with the places of its prompts: of a large vocabulary no more is held.
    """
    rows = [prompt_ids(model, prompt) for prompt in prompts]
    for chosen in buckets(rows, batch_size):
        batch = pad(model, [rows[i] for i in chosen])
        yield chosen, logits_sharing(model, batch.ids, batch.mask, batch.position_ids)[:, -1].cpu()


def prompt_ids(model: Model, text: str) -> list[int]:
    """A prompt's tokens without an end token, after which nothing would be continued."""
    ids = list(encode(model, text, None).ids)
    while len(ids) > 1 and ids[-1] == model.tokenizer.eos_token_id:
        ids.pop()
    return ids


def buckets(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Give batches of rows of like beginning and length, as their indices."""
    batch_size = fitting(batch_size)
    for group in in_order(rows):
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]
