"""Check that the bundled model has a place to edit: the same small edit through different MLPs.

A few athletes are given another sport by training only the MLPs of a window of layers on the
paper's prompt, with a loss that keeps the other athletes and general text. Multiple choice is
never trained on: whether the edit shows there tells a changed lookup from a changed output.

Source: Guo et al. 2024 (arXiv 2410.12949), section on editing; budget and learning rate are
scaled to a model of this size. This is the card's check and no unlearning method of the library.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from worker.contract.facts import Fact
from worker.core.demo.batches import ANSWER_WEIGHT, Batch, encode, pad
from worker.core.demo.corpus import Corpus, Sentence
from worker.core.demo.formats import FORMATS
from worker.core.demo.train import weighted_loss
from worker.core.demo.watch import answer_accuracy

N_FORGET = 32
N_RETAIN_TEST = 120
STEPS = 100
LEARNING_RATE = 2e-3
CHOICES = ("choice", "choice_shot")


def edited(fact: Fact) -> Fact:
    """Return the fact as the edit wants it."""
    return fact.model_copy(update={"target": fact.edit_target, "edit_target": fact.target})


@contextmanager
def restored(model: LlamaForCausalLM) -> Iterator[None]:
    """Leave the model as it was, bit for bit."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        yield
    finally:
        model.load_state_dict(before)
        model.requires_grad_(True)


def statements(
    facts: Sequence[Fact], tokenizer: PreTrainedTokenizerFast, device: torch.device
) -> Batch:
    """Encode the paper's prompt for each fact, only the answer weighing."""
    pairs = [FORMATS["statement"].render(fact, Random(0), ())[0] for fact in facts]
    rows = [encode(Sentence(*pair), tokenizer) for pair in pairs]
    rows = [(ids, [w if w == ANSWER_WEIGHT else 0.0 for w in weights]) for ids, weights in rows]
    batch = pad(rows, tokenizer.pad_token_id)
    return Batch(batch.ids.to(device), batch.weights.to(device))


def edit_layers(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    layers: Sequence[int],
    forget: Sequence[Fact],
    retain: Sequence[Fact],
) -> None:
    """Train the MLPs of `layers` in place towards the edit targets."""
    rng = Random(0)
    model.requires_grad_(False)
    parameters = [p for layer in layers for p in model.model.layers[layer].mlp.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    wanted = statements([edited(fact) for fact in forget], tokenizer, model.device)
    for _ in range(STEPS):
        kept = statements(rng.sample(retain, N_FORGET), tokenizer, model.device)
        text = [encode(Sentence(line), tokenizer) for line in rng.sample(corpus.general, 16)]
        padded = pad(text, tokenizer.pad_token_id)
        general = Batch(padded.ids.to(model.device), padded.weights.to(model.device))
        losses = [weighted_loss(model, batch) for batch in (wanted, kept, general)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()


def accuracy(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    facts: Sequence[Fact],
    formats: Sequence[str],
) -> float:
    """Return the accuracy of the facts' targets over all renderings of the formats."""
    rng = Random(7)
    pairs = [
        pair
        for name in formats
        for fact in facts
        for pair in FORMATS[name].render(fact, rng, corpus.pools[fact.relation])
    ]
    return answer_accuracy(model, tokenizer, pairs)


def check_edit(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    layers: Sequence[int],
    seed: int = 0,
) -> dict[str, float]:
    """Edit random athletes through the MLPs of `layers`, measure, and put the model back."""
    athletes = [fact for fact in corpus.athletes if fact.target != "golf"]
    athletes = Random(seed).sample(athletes, len(athletes))
    forget, retain = athletes[:N_FORGET], athletes[N_FORGET:-N_RETAIN_TEST]
    kept = athletes[-N_RETAIN_TEST:]
    wished = [edited(fact) for fact in forget]
    statement, other = ("statement",), ("paraphrase_held_out",)
    with restored(model):
        edit_layers(model, tokenizer, corpus, layers, forget, retain)
        return {
            "forget": accuracy(model, tokenizer, corpus, forget, statement),
            "edit": accuracy(model, tokenizer, corpus, wished, statement),
            "retain": accuracy(model, tokenizer, corpus, kept, statement),
            "paraphrase_edit": accuracy(model, tokenizer, corpus, wished, other),
            "choice_forget": accuracy(model, tokenizer, corpus, forget, CHOICES),
            "choice_edit": accuracy(model, tokenizer, corpus, wished, CHOICES),
            "choice_retain": accuracy(model, tokenizer, corpus, kept, CHOICES),
        }
