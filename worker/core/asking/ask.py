"""Put many prompts to a model, each once, and read the probabilities of the answers wanted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worker.core.asking.scoring import next_logits, score_answers
from worker.core.asking.setting import Ask
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids, tokenized


@dataclass(frozen=True)
class Heard:
    """What a model said to one Ask. Probabilities are NaN where no such answer was asked for."""

    target: float
    """Probability of the whole target among all tokens; in multiple choice, among the letters."""
    edit: float
    rank: int
    """Of the target's first token among all tokens; 1 is the model's own first choice."""
    edit_rank: float
    """The same of the edit target; NaN without one."""
    top5: tuple[tuple[str, float], ...]
    """The five likeliest next tokens with their probabilities."""

    letters: tuple[float, ...] = ()
    """In multiple choice, each letter's share of the letters' probability."""
    best: bool = False
    """Is the target the likeliest letter, or without letters the likeliest token?"""

    @property
    def in_top5(self) -> bool:
        return self.rank <= 5


@torch.no_grad()
def listen(model: Model, asks: Sequence[Ask], batch_size: int = 64) -> list[Heard]:
    """Answer every Ask: one forward per different prompt, one more per answer of several tokens."""
    pairs = _pairs(asks)
    with tokenized(
        model, [*(ask.prompt for ask in asks), *(prompt + answer for prompt, answer in pairs)]
    ):
        return _listen(model, asks, pairs, batch_size)


def _listen(
    model: Model, asks: Sequence[Ask], pairs: list[tuple[str, str]], batch_size: int
) -> list[Heard]:
    prompts = list(dict.fromkeys(ask.prompt for ask in asks))
    if not prompts:
        return []
    log_probs = next_logits(model, prompts, batch_size=batch_size).float().log_softmax(-1)
    row = {prompt: i for i, prompt in enumerate(prompts)}
    ids = {pair: answer_ids(model, *pair) for pair in pairs}
    whole = _score_longer(
        model, [pair for pair, tokens in ids.items() if len(tokens) > 1], batch_size
    )
    best = log_probs.topk(min(5, log_probs.shape[-1]), dim=-1)

    def log_prob(prompt: str, answer: str) -> float:
        if not answer:
            return float("nan")
        if (prompt, answer) in whole:
            return whole[prompt, answer]
        return float(log_probs[row[prompt], ids[prompt, answer][0]])

    heard = []
    for ask in asks:
        own = log_probs[row[ask.prompt]]
        target, edit = log_prob(ask.prompt, ask.target), log_prob(ask.prompt, ask.edit)
        letters = [log_prob(ask.prompt, letter) for letter in ask.letters]
        shared = math.log(sum(map(math.exp, letters))) if letters else 0.0
        rank = 1 + int((own > own[ids[ask.prompt, ask.target][0]]).sum())
        edit_rank = (
            1.0 + int((own > own[ids[ask.prompt, ask.edit][0]]).sum()) if ask.edit else math.nan
        )
        tops = zip(*(x[row[ask.prompt]].tolist() for x in best), strict=True)
        heard.append(
            Heard(
                target=math.exp(target - shared),
                edit=math.exp(edit - shared),
                rank=rank,
                edit_rank=edit_rank,
                top5=tuple((str(model.tokenizer.decode([i])), math.exp(p)) for p, i in tops),
                letters=tuple(math.exp(x - shared) for x in letters),
                best=target >= max(letters) if letters else rank == 1,
            )
        )
    return heard


def _pairs(asks: Sequence[Ask]) -> list[tuple[str, str]]:
    wanted = (
        (a.prompt, answer) for a in asks for answer in (a.target, a.edit, *a.letters) if answer
    )
    return list(dict.fromkeys(wanted))


def _score_longer(
    model: Model, pairs: list[tuple[str, str]], batch_size: int
) -> dict[tuple[str, str], float]:
    if not pairs:
        return {}
    scores = score_answers(model, pairs, batch_size=batch_size)
    return dict(zip(pairs, scores.log_prob.tolist(), strict=True))
