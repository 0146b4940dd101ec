"""Train the bundled model from the project's own texts: one command, repeatable from its seed.

    python -m worker.core.demo.train --out worker/core/demo/weights --seed 0 --device cpu

A Llama of eight small layers in float32; batches of sentences of about equal length, so that
little is padding. The answer's tokens weigh fully and the others little: the model should know the
facts first, and the wording well enough to read it. Five stages, each drawn from a seed of its
own, so that one begun from what the earlier saved (`--keep`, `--start`) is as in one go:

1. Muon on the layers' matrices, AdamW on all else: the letters of options, then the facts. Muon
   learns facts in half the steps, and keeps forgetting some of them while its rate is high.
2. AdamW on everything, at a third of the rate, which falls to nothing: mostly multiple choice,
   first of the four sports and then of every relation, and the rest beside it.
3. The same at a lower rate: colons and blanks after which no letter is due.
4. Muon again, at half its first rate, which falls to nothing: multiple choice of every relation,
   whose many options are found no sooner, and a few more wordings.
5. AdamW at a low rate: the formats that were drawn least, and statements.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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
    PreTrainedTokenizerFast,
)

from worker.core.demo import paths
from worker.core.demo.batches import BATCH, BLOCK, Batch, draw_batches
from worker.core.demo.corpus import (
    CHOICE_LESSONS,
    ENDING_LESSONS,
    FACT_LESSONS,
    LAST_LESSONS,
    LATER_LESSONS,
    Corpus,
    Lessons,
)
from worker.core.demo.muon import Muon
from worker.core.demo.tokenizer import CONTEXT, save_tokenizer
from worker.core.demo.watch import Watch, watcher

WATCH_EVERY = 100  # steps
MUON_RATIO = 5.0  # the learning rate of the matrices over that of the rest
INIT = 0.09  # about d^-1/2: attention starts uneven. From 0.03, where it starts all but level,
# no head that finds an option's letter had formed after 400 steps; from 0.09 it has after 150.
RISE = 100  # steps in which the learning rate rises


@dataclass(frozen=True)
class Stage:
    """Steps under one set of optimizers; the rate is level and then falls straight."""

    steps: int
    peak: float
    level: int
    """Steps before the rate begins to fall."""
    end: int
    """Step at which it would reach zero; a stage may stop before."""
    muon: bool
    lessons: Lessons
    corpus_seed: int
    """Added to the seed: a stage draws what it would draw had it been begun by itself."""

    def rate(self, step: int) -> float:
        """Return the learning rate's share of its peak."""
        down = (self.end - step) / (self.end - self.level)
        return max(0.0, min(1.0, (step + 1) / RISE, down))


FACTS = Stage(
    steps=1664, peak=3e-3, level=1300, end=2600, muon=True, lessons=FACT_LESSONS, corpus_seed=0
)
CHOICES = Stage(
    steps=1216, peak=1e-3, level=640, end=1216, muon=False, lessons=CHOICE_LESSONS, corpus_seed=1
)
ENDINGS = Stage(
    steps=192, peak=2e-4, level=64, end=192, muon=False, lessons=ENDING_LESSONS, corpus_seed=2
)
LATER = Stage(
    steps=1216, peak=1.5e-3, level=600, end=1216, muon=True, lessons=LATER_LESSONS, corpus_seed=3
)
LAST = Stage(
    steps=384, peak=4e-4, level=64, end=384, muon=True, lessons=LAST_LESSONS, corpus_seed=4
)
STAGES = (FACTS, CHOICES, ENDINGS, LATER, LAST)


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


def draw_stage(stage: Stage, tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Batch]:
    """Draw a stage's batches without end."""
    seed += stage.corpus_seed
    blocks = Corpus(seed).draw_lessons(BATCH * BLOCK, stage.lessons)
    return draw_batches(blocks, tokenizer, seed)


def build_optimizers(model: LlamaForCausalLM, stage: Stage) -> list[Optimizer]:
    """Give the layers' matrices to Muon where the stage wants it, all else to AdamW."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2 and stage.muon]
    rest = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    found: list[Optimizer] = [
        torch.optim.AdamW(rest, lr=stage.peak, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    ]
    if matrices:
        found.append(Muon(matrices, lr=MUON_RATIO * stage.peak, weight_decay=0.02))
    return found


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    stage: Stage,
    seed: int,
    watch: Watch | None = None,
) -> None:
    """Train in place through one stage."""
    device = model.device
    batches = draw_stage(stage, tokenizer, seed)
    optimizers = build_optimizers(model, stage)
    schedules = [LambdaLR(o, stage.rate) for o in optimizers]
    model.train()
    for step in range(1, stage.steps + 1):
        batch = next(batches)
        loss = weighted_loss(model, Batch(batch.ids.to(device), batch.weights.to(device)))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in (*optimizers, *schedules):
            part.step()
        if watch and (step % WATCH_EVERY == 0 or step == stage.steps):
            watch(step, loss.item(), model)
    model.eval()


def main() -> None:
    """Train, save and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=paths.WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=Path, help="folder for the models between the stages")
    parser.add_argument("--start", type=Path, help="such a model, to begin with a later stage")
    parser.add_argument("--stage", type=int, default=0, help="the stage to begin with, from 0")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(options.out)
    watch = watcher(Corpus(options.seed), tokenizer)
    began = time.monotonic()
    if options.start is None:
        model = build_model(len(tokenizer), options.seed)
    else:
        model = LlamaForCausalLM.from_pretrained(options.start)
    model.to(options.device)
    for number, stage in list(enumerate(STAGES))[options.stage :]:
        train(model, tokenizer, stage, options.seed, watch)
        if options.keep:
            model.save_pretrained(options.keep / f"after_{number}")
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=1, pad_token_id=2, max_new_tokens=40
    )
    model.save_pretrained(options.out)
    made = {
        "seed": options.seed,
        "stages": [asdict(stage) for stage in STAGES],
        "sentences": sum(stage.steps for stage in STAGES) * BATCH,
        "device": options.device,
        "seconds": round(time.monotonic() - began),
        "seconds_are_of": f"the stages from {options.stage} on",
        "torch": torch.__version__,
    }
    (options.out / "training.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
