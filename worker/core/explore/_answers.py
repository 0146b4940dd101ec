"""Whole answers measured after a prompt: the logits of their tokens, each after those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.explore._asked import Answer
from worker.core.explore._subject import NAMES, Context, Subject
from worker.core.explore._words import token_text

Metric = Literal["probability", "logit", "logit_diff"]
METRICS: tuple[Metric, ...] = get_args(Metric)
UNITS: dict[str, str] = {
    "probability": "probability",
    "logit": "logit",
    "logit_diff": "logit difference",
}
METRIC = (
    "probability: of the whole target. logit: of the target, summed over its tokens. logit_diff: "
    "the target's over the distractor's; of answers of several tokens, the difference of their log "
    "probabilities."
)


@dataclass(frozen=True)
class Contexts:
    """The rows that answers of one prompt need, each once; where each token of each is read."""

    rows: tuple[Context, ...]
    reads: dict[str, tuple[tuple[int, int], ...]]
    """Answer's name -> (row, token) of each of its tokens."""

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, which: int) -> tuple[Context, ...]:
        """The same rows of a prompt."""
        return tuple((which, begun) for _, begun in self.rows)


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
    """Answers' tokens in several runs: name -> [run, token]."""

    logits: dict[str, Float[Tensor, "run token"]]
    log_probs: dict[str, Float[Tensor, "run token"]]

    def metric(self, name: Metric) -> Float[Tensor, " run"]:
        """Measure each run in float64."""
        target = self.log_probs["target"].double().sum(-1)
        if name == "probability":
            return target.exp()
        if name == "logit":
            return self.logits["target"].double().sum(-1)
        return target - self.log_probs["distractor"].double().sum(-1)

    @staticmethod
    def joined(parts: Sequence[Scored]) -> Scored:
        """Put runs of the same answers behind each other."""
        first = parts[0]
        return Scored(
            {name: torch.cat([part.logits[name] for part in parts]) for name in first.logits},
            {name: torch.cat([part.log_probs[name] for part in parts]) for name in first.logits},
        )


def scored(contexts: Contexts, logits: Float[Tensor, "run context vocab"]) -> Scored:
    """Read every answer's tokens from the logits of the rows that ask for them."""
    total = logits.logsumexp(-1)
    found = Scored({}, {})
    for name, reads in contexts.reads.items():
        row = torch.tensor([r for r, _ in reads], device=logits.device)
        token = torch.tensor([t for _, t in reads], device=logits.device)
        own = logits[:, row, token]
        found.logits[name] = own.cpu()
        found.log_probs[name] = (own - total[:, row]).cpu()
    return found


def ask(subject: Subject, which: int) -> list[dict[str, Any]]:
    """Score every answer of a subject after one of its prompts."""
    contexts = contexts_of(subject.answers, which)
    return answers_json(subject, which, contexts, subject.kept(contexts.rows).logits)


def answers_json(
    subject: Subject, which: int, contexts: Contexts, logits: Float[Tensor, "context vocab"]
) -> list[dict[str, Any]]:
    """Say of each answer how likely it is as a whole, and each of its tokens."""
    found = scored(contexts, logits[None])
    return [_answer_json(subject, which, name, contexts, logits, found) for name in contexts.reads]


def _answer_json(
    subject: Subject, which: int, name: str, contexts: Contexts, logits: Tensor, found: Scored
) -> dict[str, Any]:
    own, log_probs = found.logits[name][0], found.log_probs[name][0]
    tokens = [
        {
            "text": token_text(subject.model, token),
            "id": token,
            "probability": float(log_probs[place].exp()),
            "logit": float(own[place]),
            "rank": int((logits[row] > logits[row, token]).sum()),
        }
        for place, (row, token) in enumerate(contexts.reads[name])
    ]
    total = log_probs.double().sum()
    return {
        "prompt": NAMES[which],
        "answer": name,
        "text": subject.answers[name].text,
        "probability": float(total.exp()),
        "log_probability": float(total),
        "logit": float(own.double().sum()),
        "rank": tokens[0]["rank"],
        "tokens": tokens,
    }


def top_json(subject: Subject, logits: Float[Tensor, " vocab"], k: int) -> list[dict[str, Any]]:
    """List the likeliest tokens."""
    probabilities = logits.softmax(-1)
    found = logits.topk(min(k, len(logits))).indices.tolist()
    return [
        {
            "token": token_text(subject.model, token),
            "id": token,
            "probability": float(probabilities[token]),
            "logit": float(logits[token]),
            "rank": rank,
        }
        for rank, token in enumerate(found)
    ]


def said_json(subject: Subject, ids: Sequence[int]) -> dict[str, Any]:
    """Give a continuation as text and as tokens."""
    text = subject.model.tokenizer.decode(list(ids), skip_special_tokens=True)
    return {"text": str(text), "tokens": [token_text(subject.model, token) for token in ids]}
