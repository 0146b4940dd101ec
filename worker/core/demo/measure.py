"""Measure all that the bundled model's card says, and write it beside the weights.

    python -m worker.core.demo.measure worker/core/demo/weights

Writes `card.json` (every number) and `README.md` (the card) and prints the card's tables.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from worker.contract.facts import Fact
from worker.core.demo import paths
from worker.core.demo.batches import pad
from worker.core.demo.card import goals, write_card
from worker.core.demo.corpus import Corpus
from worker.core.demo.edit_check import check_edit
from worker.core.demo.formats import FORMATS, Format
from worker.core.demo.probe import probe_curve
from worker.core.facts.athletes import SPORTS_PROMPT

Pairs = Sequence[tuple[str, str]]
EDIT_WIDTH = 3  # layers, the width of the rise
EDIT_STARTS = (0, 2, 5)  # first layer of each window
EDIT_SEEDS = (0,)
MAX_PAIRS = 1500  # per format and kind of fact, drawn at random where there are more
TEXT_BLOCK = 200  # tokens of running text read at once


@torch.no_grad()
def score_pairs(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pairs: Pairs, size: int = 96
) -> dict[str, float]:
    """Return accuracy (each token of the answer the likeliest) and the answer's probability."""
    right, probability = 0.0, 0.0
    for start in range(0, len(pairs), size):
        asked = [tokenizer(prompt)["input_ids"] for prompt, _ in pairs[start : start + size]]
        answers = [
            tokenizer(answer, add_special_tokens=False)["input_ids"]
            for _, answer in pairs[start : start + size]
        ]
        rows = [
            (ids + answer, [0.0] * len(ids) + [1.0] * len(answer))
            for ids, answer in zip(asked, answers, strict=True)
        ]
        batch = pad(rows, tokenizer.pad_token_id)
        logits = model(batch.ids.to(model.device), use_cache=False).logits[:, :-1].float().cpu()
        wanted, counted = batch.ids[:, 1:], batch.weights[:, 1:] > 0
        logp = logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
        probability += float((logp * counted).sum(1).exp().sum())
        right += float(((logits.argmax(-1) == wanted) | ~counted).all(1).sum())
    return {
        "accuracy": right / len(pairs),
        "probability": probability / len(pairs),
        "n": len(pairs),
    }


def render_all(format: Format, facts: Sequence[Fact], corpus: Corpus, draws: int = 1) -> Pairs:
    """Render every fact in a format; shuffled options are drawn `draws` times."""
    rng = Random(11)
    times = draws if format.name.startswith("choice") else 1
    pairs = [
        pair
        for fact in facts
        for _ in range(times)
        for pair in format.render(fact, rng, corpus.pools[fact.relation])
    ]
    return rng.sample(pairs, min(len(pairs), MAX_PAIRS))


def measure_formats(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Corpus
) -> dict[str, Any]:
    """Measure each format on the athletes and on the facts of the other relations."""
    kinds = {"athletes": corpus.athletes, "relations": corpus.relations}
    measured: dict[str, Any] = {}
    for format in FORMATS.values():
        row: dict[str, Any] = {"title": format.title, "trained": format.trained}
        for kind, facts in kinds.items():
            if format.applies_to(facts[0]):
                pairs = render_all(format, facts, corpus, draws=4)
                row[kind] = score_pairs(model, tokenizer, pairs)
        measured[format.name] = row
    return measured


@torch.no_grad()
def perplexity(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> float:
    """Return the perplexity per token over texts, each read in blocks after its own `<bos>`."""
    total, count = 0.0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for start in range(0, len(ids), TEXT_BLOCK):
            block = torch.tensor([[tokenizer.bos_token_id, *ids[start : start + TEXT_BLOCK]]])
            block = block.to(model.device)
            loss = model(block, labels=block, use_cache=False).loss
            total += float(loss) * (block.shape[1] - 1)
            count += block.shape[1] - 1
    return math.exp(total / count)


def measure_texts(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Corpus
) -> dict[str, float]:
    """Measure the perplexity of what was trained on and what was not."""
    texts = {
        "saga": [corpus.saga],
        "saga_held_out": [paths.SAGA_HELD_OUT.read_text(encoding="utf-8")],
        "general": corpus.general[:220],
        "general_held_out": paths.GENERAL_HELD_OUT.read_text(encoding="utf-8").splitlines(),
    }
    return {name: perplexity(model, tokenizer, text) for name, text in texts.items()}


def measure_probes(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Corpus
) -> dict[str, list[float]]:
    """Measure the probe's curves: full prompt, bare name, and shuffled sports."""
    athletes = [fact for fact in corpus.athletes if fact.target != "golf"]
    return {
        "full_prompt": probe_curve(model, tokenizer, athletes, SPORTS_PROMPT),
        "bare_name": probe_curve(model, tokenizer, athletes, "{}"),
        "shuffled": probe_curve(model, tokenizer, athletes, SPORTS_PROMPT, shuffled=True),
    }


def measure_edits(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Corpus
) -> list[dict[str, Any]]:
    """Run the same edit through windows of consecutive MLPs, averaged over forget sets."""
    rows = []
    for first in EDIT_STARTS:
        layers = list(range(first, first + EDIT_WIDTH))
        runs = [check_edit(model, tokenizer, corpus, layers, seed) for seed in EDIT_SEEDS]
        mean = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]}
        rows.append({"layers": layers, **mean})
        print(rows[-1], flush=True)
    return rows


def describe_model(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Corpus, folder: Path
) -> dict[str, Any]:
    """Say what the model is: shape, parameters, weights hash, and how names are spelled."""
    surnames = [fact.subject.split()[-1] for fact in corpus.athletes]
    pieces = [len(tokenizer.tokenize(f" {name}")) for name in surnames]
    return {
        "layers": model.config.num_hidden_layers,
        "d_model": model.config.hidden_size,
        "heads": model.config.num_attention_heads,
        "d_mlp": model.config.intermediate_size,
        "vocabulary": len(tokenizer),
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "athletes": len([f for f in corpus.athletes if f.target != "golf"]),
        "relations": len({f.relation for f in corpus.relations}),
        "relation_facts": len(corpus.relations),
        "tokens_per_surname": sum(pieces) / len(pieces),
        "surnames_of_several_tokens": sum(n > 1 for n in pieces) / len(pieces),
    }


def measure(folder: Path, device: str) -> dict[str, Any]:
    """Load the model from `folder` and measure everything on its card."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    model = model.to(device).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    corpus = Corpus(0)
    training = folder / "training.json"
    card: dict[str, Any] = {
        "model": describe_model(model, tokenizer, corpus, folder),
        "training": json.loads(training.read_text()) if training.exists() else {},
        "formats": measure_formats(model, tokenizer, corpus),
        "perplexity": measure_texts(model, tokenizer, corpus),
        "probe": measure_probes(model, tokenizer, corpus),
        "edits": measure_edits(model, tokenizer, corpus),
    }
    return {**card, "goals": goals(card)}


def main() -> None:
    """Measure, write the card and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, nargs="?", default=paths.WEIGHTS)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    card = measure(options.weights, options.device)
    (options.weights / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    text = write_card(card)
    (options.weights / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
