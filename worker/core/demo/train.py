"""Train the bundled model from the project's own texts: one command, repeatable from its seed.

    python -m worker.core.demo.train --out worker/core/demo/weights --seed 0 --device cpu

A Llama of eight small layers in float32; Muon and AdamW; batches of sentences
of about equal length, so that little is padding. The answer's tokens weigh fully and the others
little: the model should know the facts first, and the wording well enough to read it.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from worker.contract.facts import Fact
from worker.core.demo import paths
from worker.core.demo.corpus import Corpus, Sentence
from worker.core.demo.formats import FORMATS
from worker.core.demo.muon import Muon
from worker.core.demo.tokenizer import CONTEXT, save_tokenizer

BATCH = 32  # sentences
BLOCK = 64  # batches drawn together, then sorted by length
PROMPT_WEIGHT = 0.1
TEXT_WEIGHT = 0.2  # per token of saga and general text, which have no answer
WATCH_EVERY = 250  # steps
MUON_RATIO = 5.0  # the learning rate of the matrices over that of the rest
RISE = 100  # steps in which the learning rate rises
DECAY = 0.5  # share of the steps in which it falls

Watch = Callable[[int, float, LlamaForCausalLM], None]


@dataclass(frozen=True)
class Batch:
    """Token ids, right-padded, and the weight of predicting each of them."""

    ids: Tensor  # (batch, pos)
    weights: Tensor  # (batch, pos)


def build_model(vocab_size: int, seed: int) -> LlamaForCausalLM:
    """Build the untrained model; the same seed gives the same weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        initializer_range=0.03,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config)


def encode(sentence: Sentence, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[float]]:
    """Return a sentence's token ids and the weight of each as a prediction; the first has none."""
    ids = tokenizer(sentence.prompt)["input_ids"]
    rest = PROMPT_WEIGHT if sentence.answer else TEXT_WEIGHT
    weights = [0.0] + [rest] * (len(ids) - 1)
    if sentence.answer:
        answer = tokenizer(sentence.answer, add_special_tokens=False)["input_ids"]
        ids, weights = ids + answer, weights + [1.0] * len(answer)
    return ids, weights


def pad(rows: list[tuple[list[int], list[float]]], pad_id: int) -> Batch:
    """Pad rows on the right; padding weighs nothing and, being last, is attended by no token."""
    width = max(len(ids) for ids, _ in rows)
    ids = [ids + [pad_id] * (width - len(ids)) for ids, _ in rows]
    weights = [weights + [0.0] * (width - len(weights)) for _, weights in rows]
    return Batch(torch.tensor(ids), torch.tensor(weights))


def draw_batches(corpus: Corpus, tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Batch]:
    """Yield batches without end, each of sentences of about one length."""
    order = Random(seed)
    while True:
        block = [encode(s, tokenizer) for s in corpus.draw_block(BATCH * BLOCK)]
        block.sort(key=lambda row: len(row[0]))
        starts = list(range(0, len(block), BATCH))
        order.shuffle(starts)
        for start in starts:
            yield pad(block[start : start + BATCH], tokenizer.pad_token_id)


def weighted_loss(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Return the mean cross-entropy over a batch, by the tokens' weights."""
    logits = model(batch.ids, use_cache=False).logits[:, :-1]
    losses = cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
    weights = batch.weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def build_optimizers(model: LlamaForCausalLM, peak: float) -> list[Optimizer]:
    """Give the layers' matrices to Muon, all else to AdamW."""
    layers = [p for p in model.model.layers.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if all(p is not layer for layer in layers)]
    return [
        Muon(layers, lr=MUON_RATIO * peak, weight_decay=0.02),
        torch.optim.AdamW(rest, lr=peak, betas=(0.9, 0.98), weight_decay=0.02, fused=True),
    ]


def rate(step: int, steps: int) -> float:
    """Return the learning rate's share of its peak: a short rise, a plain, a straight way down."""
    down = (steps - step) / (DECAY * steps)
    return max(0.0, min(1.0, (step + 1) / RISE, down))


def train(
    model: LlamaForCausalLM,
    batches: Iterator[Batch],
    steps: int,
    peak: float,
    watch: Watch | None = None,
) -> None:
    """Train in place for `steps` batches with a one-cycle learning rate."""
    device = model.device
    optimizers = build_optimizers(model, peak)
    schedules = [LambdaLR(o, lambda step: rate(step, steps)) for o in optimizers]
    model.train()
    for step in range(1, steps + 1):
        batch = next(batches)
        loss = weighted_loss(model, Batch(batch.ids.to(device), batch.weights.to(device)))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in (*optimizers, *schedules):
            part.step()
        if watch and (step % WATCH_EVERY == 0 or step == steps):
            watch(step, loss.item(), model)
    model.eval()


@torch.no_grad()
def answer_accuracy(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[tuple[str, str]],
    size: int = 128,
) -> float:
    """Return the share of prompts whose answer's first token is the most likely next one."""
    model.eval()
    right = 0
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        rows = [tokenizer(prompt)["input_ids"] for prompt, _ in part]
        wanted = [tokenizer(a, add_special_tokens=False)["input_ids"][0] for _, a in part]
        batch = pad([(ids, [0.0] * len(ids)) for ids in rows], tokenizer.pad_token_id)
        last = torch.tensor([len(ids) - 1 for ids in rows])
        hidden = model.model(batch.ids.to(model.device), use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[torch.arange(len(rows)), last.to(model.device)])
        right += int((logits.argmax(-1).cpu() == torch.tensor(wanted)).sum())
    return right / len(pairs)


def watcher(corpus: Corpus, tokenizer: PreTrainedTokenizerFast) -> Watch:
    """Return a callback that prints the loss and a sample's accuracy in a few formats."""
    rng = Random(1)
    sample: list[Fact] = rng.sample(corpus.athletes, 100) + rng.sample(corpus.relations, 100)
    names = ("statement", "question", "choice", "paraphrase_held_out", "choice_held_out")
    began = time.monotonic()

    def watch(step: int, loss: float, model: LlamaForCausalLM) -> None:
        line = f"{step:6d} {time.monotonic() - began:6.0f}s loss {loss:.3f}"
        for name in names:
            for kind, facts in (("a", sample[:100]), ("r", sample[100:])):
                pairs = [FORMATS[name].render(f, rng, corpus.pools[f.relation])[0] for f in facts]
                line += f" {name}:{kind} {answer_accuracy(model, tokenizer, pairs):.2f}"
        model.train()
        print(line, flush=True)

    return watch


def main() -> None:
    """Train, save and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=paths.WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--peak", type=float, default=3e-3, help="highest learning rate")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(options.out)
    corpus = Corpus(options.seed)
    model = build_model(len(tokenizer), options.seed).to(options.device)
    batches = draw_batches(corpus, tokenizer, options.seed)
    train(model, batches, options.steps, options.peak, watcher(corpus, tokenizer))
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=1, pad_token_id=2, max_new_tokens=40
    )
    model.save_pretrained(options.out)


if __name__ == "__main__":
    main()
