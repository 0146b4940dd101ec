"""Train the bundled model from the project's own texts: one command, repeatable from its seed.

    python -m worker.core.demo.train --out worker/core/demo/weights --seed 0 --device cpu

A Llama of eight small layers in float32; batches of sentences of about equal length, so that
little is padding. The answer's tokens weigh fully and the others little: the model should know the
facts first, and the wording well enough to read it.

Two measures put the lookup of a name into the first layers of the finished model, where the paper
finds it in large ones; the card says so, and what the paper's comparison shows without them:

- In the first three stages the first layer's attention is closed: it writes nothing and is not
  trained, so that its MLP reads one token at a time. What it makes of each token is then written
  into the embeddings, which changes no answer, and the layer goes to the end, adding nothing yet,
  to be trained with the others. Without this the first MLP did what embeddings of large models do,
  and every localization found it, whatever it asked.
- In the last two stages later layers are left out of some sentences (`early.py`). Without this it
  mattered little which three MLPs an edit changed.

Six stages, each drawn from a seed of its own, so that one begun from what the earlier saved
(`--keep`, `--start`) is as in one go:

1. Muon on the layers' matrices, AdamW on all else: the letters of options, then the facts. Muon
   learns facts in half the steps, and keeps forgetting some of them while its rate is high.
2. AdamW on everything, at a third of the rate, which falls to nothing: mostly multiple choice,
   first of the four sports and then of every relation, and the rest beside it.
3. The same at a lower rate: colons and blanks after which no letter is due.
4. Muon again, at half its first rate, which falls to nothing: multiple choice of every relation,
   whose many options are found no sooner, and a few more wordings.
5. The same for the early lookup, beside the formats that were drawn least.
6. The same at a lower rate, for multiple choice of every relation and what was still mistaken.
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
from transformers.models.llama.modeling_llama import LlamaAttention

from worker.core.demo import paths
from worker.core.demo.batches import BATCH, BLOCK, Batch, draw_batches
from worker.core.demo.corpus import (
    CHOICE_LESSONS,
    EARLY_LESSONS,
    ENDING_LESSONS,
    FACT_LESSONS,
    LAST_LESSONS,
    LATER_LESSONS,
    Corpus,
    Lessons,
)
from worker.core.demo.early import NOTHING, LeftOut, leave_out
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
    closed: bool = False
    """Is the first attention kept as it is?"""
    fold: bool = False
    """Does the stage begin with folding the first layer into the embeddings?"""
    left_out: LeftOut = NOTHING

    def rate(self, step: int) -> float:
        """Return the learning rate's share of its peak."""
        down = (self.end - step) / (self.end - self.level)
        return max(0.0, min(1.0, (step + 1) / RISE, down))


FACTS = Stage(
    steps=1664,
    peak=3e-3,
    level=1300,
    end=2600,
    muon=True,
    lessons=FACT_LESSONS,
    corpus_seed=0,
    closed=True,
)
CHOICES = Stage(
    steps=1216,
    peak=1e-3,
    level=640,
    end=1216,
    muon=False,
    lessons=CHOICE_LESSONS,
    corpus_seed=1,
    closed=True,
)
ENDINGS = Stage(
    steps=192,
    peak=2e-4,
    level=64,
    end=192,
    muon=False,
    lessons=ENDING_LESSONS,
    corpus_seed=2,
    closed=True,
)
LATER = Stage(
    steps=1216,
    peak=1.5e-3,
    level=600,
    end=1216,
    muon=True,
    lessons=LATER_LESSONS,
    corpus_seed=3,
    fold=True,
)
EARLY = Stage(
    steps=768,
    peak=1.5e-3,
    level=300,
    end=768,
    muon=True,
    lessons=EARLY_LESSONS,
    corpus_seed=4,
    left_out=LeftOut(mlps=0.8, attentions=0.6),
)
LAST = Stage(
    steps=480,
    peak=4e-4,
    level=64,
    end=480,
    muon=True,
    lessons=LAST_LESSONS,
    corpus_seed=5,
    left_out=LeftOut(mlps=0.8, attentions=0.3),
)
STAGES = (FACTS, CHOICES, ENDINGS, LATER, EARLY, LAST)


def build_model(vocab_size: int, seed: int) -> LlamaForCausalLM:
    """Build the untrained model, its first attention closed; one seed gives the same weights."""
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
    model = LlamaForCausalLM(config)
    torch.nn.init.zeros_(first_attention(model).o_proj.weight)
    return model


def first_attention(model: LlamaForCausalLM) -> LlamaAttention:
    """Return the attention that is closed at first."""
    return model.model.layers[0].self_attn


@torch.no_grad()
def fold_first_layer(model: LlamaForCausalLM, seed: int) -> None:
    """Write what a closed first layer adds to each token into the embeddings; put it last, anew.

    No answer changes: the layer's MLP reads one token at a time, and at the end neither its
    attention nor its MLP writes anything before it is trained.
    """
    first, *others = model.model.layers
    assert not first.self_attn.o_proj.weight.any(), "its attention is open"
    table = model.model.embed_tokens.weight
    table += first.mlp(first.post_attention_layernorm(table))
    torch.manual_seed(seed)
    for matrix in (first.mlp.gate_proj.weight, first.mlp.up_proj.weight):
        torch.nn.init.normal_(matrix, std=INIT)
    torch.nn.init.zeros_(first.mlp.down_proj.weight)
    for norm in (first.input_layernorm, first.post_attention_layernorm):
        torch.nn.init.ones_(norm.weight)
    model.model.layers = torch.nn.ModuleList([*others, first])
    for i, layer in enumerate(model.model.layers):
        layer.self_attn.layer_idx = i


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
    if stage.fold:
        fold_first_layer(model, seed)
    model.requires_grad_(True)
    first_attention(model).requires_grad_(not stage.closed)
    batches = draw_stage(stage, tokenizer, seed)
    generator = torch.Generator().manual_seed(seed + stage.corpus_seed)
    optimizers = build_optimizers(model, stage)
    schedules = [LambdaLR(o, stage.rate) for o in optimizers]
    model.train()
    for step in range(1, stage.steps + 1):
        drawn = next(batches)
        batch = Batch(drawn.ids.to(device), drawn.weights.to(device))
        with leave_out(model, batch, stage.left_out, generator):
            loss = weighted_loss(model, batch)
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
