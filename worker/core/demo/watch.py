"""Watch the training: the loss and the accuracy of a sample of facts in a few formats."""

import time
from collections.abc import Callable
from random import Random

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from worker.contract.facts import Fact
from worker.core.demo.batches import pad
from worker.core.demo.corpus import Corpus
from worker.core.demo.formats import FORMATS

Watch = Callable[[int, float, LlamaForCausalLM], None]


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
    corpus_letters = Corpus(1)
    began = time.monotonic()

    def watch(step: int, loss: float, model: LlamaForCausalLM) -> None:
        line = f"{step:6d} {time.monotonic() - began:6.0f}s loss {loss:.3f}"
        for name in names:
            for kind, facts in (("a", sample[:100]), ("r", sample[100:])):
                pairs = [FORMATS[name].render(f, rng, corpus.pools[f.relation])[0] for f in facts]
                line += f" {name}:{kind} {answer_accuracy(model, tokenizer, pairs):.2f}"
        letters = [corpus_letters.draw_letter() for _ in range(100)]
        pairs = [(x.prompt, x.answer) for x in letters]
        line += f" letters {answer_accuracy(model, tokenizer, pairs):.2f}"
        model.train()
        print(line, flush=True)

    return watch
