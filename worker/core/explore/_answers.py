"""Whole answers measured after a prompt: the logits of their tokens, each after those before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.explore._subject import Answer, Context, Subject


@dataclass(frozen=True)
class Contexts:
    """The rows that answers of one prompt need, each once; where each token of each is read."""

    rows: tuple[Context, ...]
    reads: dict[str, tuple[tuple[int, int], ...]]
    """Answer's name -> (row, token) of each of its tokens."""


def contexts_of(answers: dict[str, Answer], which: int) -> Contexts:
    """List the rows that ask for every token of every answer after one prompt."""
    rows: dict[Context, int] = {}
    reads = {}
    for name, answer in answers.items():
        places = []
        for place, token in enumerate(answer.ids):
            context = (which, answer.ids[:place])
            places.append((rows.setdefault(context, len(rows)), token))
        reads[name] = tuple(places)
    return Contexts(tuple(rows), reads)


@dataclass(frozen=True)
class Scored:
    """One answer's tokens after one prompt, in order."""

    logits: Float[Tensor, " token"]
    log_probs: Float[Tensor, " token"]
    ranks: tuple[int, ...]
    """Among all tokens; 0 is the model's own choice."""


def score(subject: Subject, which: int) -> dict[str, Scored]:
    """Score every answer of a subject after one of its prompts."""
    asked = contexts_of(subject.answers, which)
    if len(asked.rows) == 1:
        logits = subject.base.logits[which : which + 1]
    else:
        logits = subject.run(asked.rows).logits
    log_probs = logits.log_softmax(-1)
    found = {}
    for name, reads in asked.reads.items():
        row = torch.tensor([r for r, _ in reads], device=logits.device)
        token = torch.tensor([t for _, t in reads], device=logits.device)
        own = logits[row, token]
        ranks = (logits[row] > own[:, None]).sum(-1)
        found[name] = Scored(own.cpu(), log_probs[row, token].cpu(), tuple(ranks.tolist()))
    return found
