"""How a model answers every fact of a set: among all tokens, and among its relation's answers.

1. Score the whole target after the prompt, teacher-forced, and the rank of its first token.
2. Share the first token's probability among the first tokens of the answers that the relation has.
   Answers that begin with the same token divide their share by their whole probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.known import Recalled
from worker.contract.result import LeftOut
from worker.contract.shots import relation_of
from worker.core.asking.scoring import next_batches, score_answers
from worker.core.models.model import Model
from worker.core.models.prompts import can_be_asked, check_asked, cut_at_once, pairs
from worker.core.models.tokens import answer_ids

CHUNK = 512
"""Facts between two reports of progress."""
Answers = Mapping[str, Sequence[str]]
"""Relation -> the answers that its facts have."""


def askable(model: Model, facts: Sequence[Fact]) -> tuple[list[Fact], list[LeftOut]]:
    """Leave out the facts that the tokenizer cuts so that they cannot be asked."""
    usable: list[Fact] = []
    left_out: list[LeftOut] = []
    for start in range(0, len(facts), CHUNK):
        chunk = facts[start : start + CHUNK]
        with cut_at_once(model, chunk, edits=False):
            for fact in chunk:
                try:
                    check_asked(model, fact)
                    usable.append(fact)
                except UserError as error:
                    left_out.append(LeftOut(id=fact.id, reason=error.message))
    return usable, left_out


def alike(model: Model, facts: Sequence[Fact], answers: Answers) -> float:
    """Count the answers, its own among them, that begin with the same token as a fact's own does,
    on average; 0 for a fact whose own begins alone. Each is scored whole."""
    first = _FirstTokens(model)
    asked = (fact for fact in facts if can_be_asked(model, fact))
    found = [len(_Rivals(first, fact, answers[relation_of(fact)]).twins) for fact in asked]
    return fmean(found) if found else 0.0


def recall(
    model: Model,
    facts: Sequence[Fact],
    answers: Answers,
    batch_size: int,
    tell: Callable[[float], None],
) -> list[Recalled]:
    """Ask every fact, in the facts' order; `tell` hears which share of them is done."""
    order = sorted(range(len(facts)), key=lambda i: len(facts[i].text))
    found: dict[int, Recalled] = {}
    for start in range(0, len(order), CHUNK):
        tell(start / len(order))
        chosen = order[start : start + CHUNK]
        asked = [facts[i] for i in chosen]
        with cut_at_once(model, asked, edits=False):
            found |= zip(chosen, _recall(model, asked, answers, batch_size), strict=True)
    return [found[i] for i in range(len(facts))]


def _recall(
    model: Model, facts: Sequence[Fact], answers: Answers, batch_size: int
) -> list[Recalled]:
    whole = score_answers(model, pairs(facts), batch_size)
    first = _FirstTokens(model)
    rivals = [_Rivals(first, fact, answers[relation_of(fact)]) for fact in facts]
    twins = [
        (fact.text, twin) for fact, one in zip(facts, rivals, strict=True) for twin in one.twins
    ]
    scores = iter(score_answers(model, twins, batch_size).log_prob.tolist() if twins else ())
    among = [[next(scores) for _ in rival.twins] for rival in rivals]
    shares: dict[int, tuple[float, int]] = {}
    for chosen, logits in next_batches(model, [fact.text for fact in facts], batch_size):
        for i, own in zip(chosen, logits, strict=True):
            shares[i] = rivals[i].share(own, among[i])
    found = []
    for i in range(len(facts)):
        share, place = shares[i]
        found.append(
            Recalled(
                probability=float(whole.log_prob[i].double().exp()),
                rank=int(whole.rank[i]) + 1,
                share=share,
                place=place,
                says=model.tokenizer.decode([int(whole.top5[i, 0])]),
            )
        )
    return found


class _FirstTokens:
    """The first token of an answer behind a prompt, found once for every last word of prompts."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: dict[tuple[str, str], int | None] = {}

    def find(self, prompt: str, answer: str) -> int | None:
        """None where the answer is joined to the prompt, so that nobody can answer so."""
        key = (prompt[len(prompt.rstrip().rpartition(" ")[0]) :], answer)
        if key not in self._known:
            try:
                self._known[key] = answer_ids(self._model, prompt, answer)[0]
            except UserError:
                self._known[key] = None
        return self._known[key]


class _Rivals:
    """A fact's target among the answers that it could have."""

    def __init__(self, first: _FirstTokens, fact: Fact, answers: Sequence[str]) -> None:
        prompt, own = fact.pair()
        begun: dict[int, list[str]] = {}
        for answer in dict.fromkeys((own, *(fact.pair(answer)[1] for answer in answers))):
            token = first.find(prompt, answer)
            if token is not None:
                begun.setdefault(token, []).append(answer)
        self.tokens = list(begun)
        self.own = next(i for i, alike in enumerate(begun.values()) if own in alike)
        alike = begun[self.tokens[self.own]]
        self.twins = [own, *(one for one in alike if one != own)] if len(alike) > 1 else []
        """The target, then the answers that begin with its token; none where it is alone."""

    def share(self, logits: Float[Tensor, " vocab"], alike: Sequence[float]) -> tuple[float, int]:
        """Give the target's share, and its place; `alike` are the twins' log-probabilities."""
        shares = logits[torch.tensor(self.tokens)].double().softmax(0)
        among = torch.tensor(alike or [0.0], dtype=torch.float64).softmax(0)
        own = float(shares[self.own] * among[0])
        others = torch.cat([shares[: self.own], shares[self.own + 1 :]])
        return own, 1 + int((others > own).sum() + (among > among[0]).sum())
