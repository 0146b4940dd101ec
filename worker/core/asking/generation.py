"""What a model says: prompts continued greedily, and answers scored behind the same prompts.

Prompts are read once: their keys and values serve the continuation and the answers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import Cache

from worker.core.asking.scoring import BATCH_SIZE, buckets, prompt_ids
from worker.core.models.model import Model
from worker.core.models.tokens import Batch, answer_ids, pad


@dataclass(frozen=True)
class Completed:
    """One entry per prompt."""

    texts: list[str]
    """The new text, to the end token or to the number of tokens wanted."""
    log_prob: Float[Tensor, " prompt"]
    """Natural logarithm of the whole answer's probability, on the CPU; NaN where none is asked."""


def generate(
    model: Model, prompts: Sequence[str], max_new_tokens: int, batch_size: int = BATCH_SIZE
) -> list[str]:
    """Continue each prompt greedily to its end token or `max_new_tokens`; return the new text."""
    return complete(model, prompts, [None] * len(prompts), max_new_tokens, batch_size).texts


@torch.no_grad()
def complete(
    model: Model,
    prompts: Sequence[str],
    answers: Sequence[str | None],
    max_new_tokens: int,
    batch_size: int = BATCH_SIZE,
) -> Completed:
    """Continue each prompt as `generate` does, and score its answer as `score_answers` does."""
    rows = [prompt_ids(model, prompt) for prompt in prompts]
    asked = [
        () if answer is None else answer_ids(model, prompt, answer)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    texts, log_prob = [""] * len(rows), torch.full((len(rows),), torch.nan)
    for chosen in buckets(rows, batch_size):
        begun = _Begun(model, pad(model, [rows[i] for i in chosen]))
        log_prob[chosen] = begun.score([asked[i] for i in chosen])
        for i, ids in zip(chosen, begun.go_on(max_new_tokens), strict=True):
            texts[i] = str(model.tokenizer.decode(ids, skip_special_tokens=True))
    return Completed(texts, log_prob)


class _Begun:
    """Prompts that were read, padded on the left."""

    def __init__(self, model: Model, batch: Batch) -> None:
        self.model, self.batch = model, batch
        out = model.run(batch.ids, batch.mask, batch.position_ids, use_cache=True)
        assert out.past_key_values is not None and out.logits is not None
        self.past, self.logits = out.past_key_values, out.logits[:, -1].float()

    def _past(self) -> Cache:
        """The kept keys and values, to which a forward may add its own."""
        past = copy.copy(self.past)
        past.layers = [copy.copy(layer) for layer in self.past.layers]
        return past

    def score(self, answers: Sequence[tuple[int, ...]]) -> Float[Tensor, " row"]:
        """Sum the log probabilities of each row's answer; NaN where it is empty."""
        found = torch.full((len(answers),), torch.nan)
        longest = max(map(len, answers))
        if longest == 0:
            return found
        logits = self.logits[:, None]
        if longest > 1:
            rest = pad(self.model, [answer[:-1] for answer in answers], side="right")
            out = self.model.run(
                rest.ids,
                torch.cat([self.batch.mask, rest.mask], dim=1),
                self.batch.position_ids[:, -1:] + 1 + rest.position_ids,
                rest.ids.shape[1],
                self._past(),
            )
            assert out.logits is not None
            logits = torch.cat([logits, out.logits.float()], dim=1)
        log_probs = logits.log_softmax(-1)
        for row, answer in enumerate(answers):
            if answer:
                tokens = torch.tensor(answer, device=log_probs.device)[:, None]
                found[row] = log_probs[row, : len(answer)].gather(-1, tokens).sum().cpu()
        return found

    def go_on(self, max_new_tokens: int) -> list[list[int]]:
        """Give the likeliest tokens of each row, to its end token."""
        past, mask, logits = self._past(), self.batch.mask, self.logits
        position_ids = self.batch.position_ids[:, -1:]
        ends, done = {self.model.tokenizer.eos_token_id}, [False] * len(mask)
        new: list[list[int]] = [[] for _ in done]
        for left in range(max_new_tokens, 0, -1):
            token = logits.argmax(-1)
            for row, value in enumerate(token.tolist()):
                done[row] = done[row] or value in ends
                if not done[row]:
                    new[row].append(value)
            if all(done) or left == 1:
                break
            position_ids = position_ids + 1
            mask = torch.cat([mask, mask.new_ones(len(done), 1)], dim=1)
            out = self.model.run(token[:, None], mask, position_ids, past=past)
            assert out.logits is not None
            logits = out.logits[:, -1].float()
        return new
