"""Cut the corpus into batches: token ids, and how much predicting each of them weighs."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from worker.core.demo.corpus import Sentence

BATCH = 64  # sentences
BLOCK = 32  # batches drawn together, then sorted by length
ANSWER_WEIGHT = 1.0
PROMPT_WEIGHT = 0.1
TEXT_WEIGHT = 0.2  # per token of saga and general text, which have no answer


@dataclass(frozen=True)
class Batch:
    """Token ids, right-padded, and the weight of predicting each of them."""

    ids: Tensor  # (batch, pos)
    weights: Tensor  # (batch, pos)


def encode(sentence: Sentence, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[float]]:
    """Return a sentence's token ids and the weight of each as a prediction; the first has none."""
    ids = tokenizer(sentence.prompt)["input_ids"]
    rest = PROMPT_WEIGHT if sentence.answer else TEXT_WEIGHT
    weights = [0.0] + [rest] * (len(ids) - 1)
    parts = [(sentence.answer, ANSWER_WEIGHT)] if sentence.answer else []
    for prompt, answer in sentence.more:
        parts += [(prompt, PROMPT_WEIGHT), (answer, ANSWER_WEIGHT)]
    for text, weight in parts:
        part = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids, weights = ids + part, weights + [weight] * len(part)
    return ids, weights


def pad(rows: list[tuple[list[int], list[float]]], pad_id: int) -> Batch:
    """Pad rows on the right; padding weighs nothing and, being last, is attended by no token."""
    width = max(len(ids) for ids, _ in rows)
    ids = [ids + [pad_id] * (width - len(ids)) for ids, _ in rows]
    weights = [weights + [0.0] * (width - len(weights)) for _, weights in rows]
    return Batch(torch.tensor(ids), torch.tensor(weights))


def draw_batches(
    blocks: Iterator[list[Sentence]], tokenizer: PreTrainedTokenizerFast, seed: int
) -> Iterator[Batch]:
    """Cut each block into batches of sentences of about one length."""
    order = Random(seed)
    for sentences in blocks:
        block = [encode(sentence, tokenizer) for sentence in sentences]
        block.sort(key=lambda row: len(row[0]))
        starts = list(range(0, len(block), BATCH))
        order.shuffle(starts)
        for start in starts:
            yield pad(block[start : start + BATCH], tokenizer.pad_token_id)
