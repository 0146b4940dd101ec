"""Put many prompts to a model, each once, and read the probabilities of the answers wanted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.asking.scoring import next_batches, score_answers
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
    ids = {pair: answer_ids(model, *pair) for pair in pairs}
    whole = _score_longer(
        model, [pair for pair, tokens in ids.items() if len(tokens) > 1], batch_size
    )
    asked: dict[str, list[int]] = {}
    for i, ask in enumerate(asks):
        asked.setdefault(ask.prompt, []).append(i)
    heard: dict[int, Heard] = {}
    for chosen, logits in next_batches(model, prompts, batch_size):
        log_probs = logits.float().log_softmax(-1)
        for own, prompt in zip(log_probs, (prompts[i] for i in chosen), strict=True):
            heard |= {i: _hear(model, asks[i], own, ids, whole) for i in asked[prompt]}
    return [heard[i] for i in range(len(asks))]


def _hear(
    model: Model,
    ask: Ask,
    own: Float[Tensor, " vocab"],
    ids: dict[tuple[str, str], tuple[int, ...]],
    whole: dict[tuple[str, str], float],
) -> Heard:
    """Read one Ask's answers out of the log-probabilities after its prompt."""

    def log_prob(answer: str) -> float:
        if not answer:
            return float("nan")
        pair = ask.prompt, answer
        return whole[pair] if pair in whole else float(own[ids[pair][0]])

    def rank_of(answer: str) -> int:
        return 1 + int((own > own[ids[ask.prompt, answer][0]]).sum())

    target, edit = log_prob(ask.target), log_prob(ask.edit)
    letters = [log_prob(letter) for letter in ask.letters]
    shared = math.log(sum(map(math.exp, letters))) if letters else 0.0
    rank = rank_of(ask.target)
    tops = zip(*(x.tolist() for x in own.topk(min(5, len(own)))), strict=True)
    return Heard(
        target=math.exp(target - shared),
        edit=math.exp(edit - shared),
        rank=rank,
        edit_rank=float(rank_of(ask.edit)) if ask.edit else math.nan,
        top5=tuple((str(model.tokenizer.decode([i])), math.exp(p)) for p, i in tops),
        letters=tuple(math.exp(x - shared) for x in letters),
        best=target >= max(letters) if letters else rank == 1,
    )


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
