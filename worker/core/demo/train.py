"""Train the bundled model from the project's own texts: one command, repeatable from its seed.

    python -m worker.core.demo.train --out worker/core/demo/weights --seed 0 --device cpu

A Llama of eight small layers in float32; Muon and AdamW; batches of sentences
of about equal length, so that little is padding. The answer's tokens weigh fully and the others
little: the model should know the facts first, and the wording well enough to read it.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from worker.core.demo import paths
from worker.core.demo.batches import BATCH, Batch, draw_batches
from worker.core.demo.corpus import Corpus
from worker.core.demo.muon import Muon
from worker.core.demo.tokenizer import CONTEXT, save_tokenizer
from worker.core.demo.watch import Watch, watcher

WATCH_EVERY = 125  # steps
MUON_RATIO = 5.0  # the learning rate of the matrices over that of the rest
INIT = 0.09  # about d^-1/2: attention starts uneven. From 0.03, where it starts all but level,
# no head that finds an option's letter had formed after 400 steps; from 0.09 it has after 150.
RISE = 100  # steps in which the learning rate rises
DECAY = 0.35  # share of the steps in which it falls


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
        initializer_range=INIT,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config)


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


def main() -> None:
    """Train, save and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=paths.WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--peak", type=float, default=3e-3, help="highest learning rate")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(options.out)
    corpus = Corpus(options.seed)
    model = build_model(len(tokenizer), options.seed).to(options.device)
    batches = draw_batches(corpus, tokenizer, options.seed)
    began = time.monotonic()
    train(model, batches, options.steps, options.peak, watcher(corpus, tokenizer))
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=1, pad_token_id=2, max_new_tokens=40
    )
    model.save_pretrained(options.out)
    made = {
        "seed": options.seed,
        "steps": options.steps,
        "sentences": options.steps * BATCH,
        "peak": options.peak,
        "device": options.device,
        "seconds": round(time.monotonic() - began),
        "torch": torch.__version__,
    }
    (options.out / "training.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
