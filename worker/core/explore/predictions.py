"""Shows what the model says next: the likeliest tokens of each prompt, its answers, how it goes on.

Answers of several tokens are scored whole, each token after the true ones before it. The
continuation is greedy.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from worker.contract.result import Table
from worker.core.explore._answers import Scored, score
from worker.core.explore._greedy import go_on
from worker.core.explore._options import SubjectOptions
from worker.core.explore._subject import NAMES, Subject, look
from worker.core.explore._words import token_text
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Predictions"


class Options(SubjectOptions):
    """The subject, and how much is shown of it."""

    k: int = Field(10, ge=1, le=100, description="Likeliest tokens listed of each prompt.")
    n_new: int = Field(20, ge=0, le=200, description="Tokens that each prompt is continued by.")


@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Ask each prompt once; see the module's docstring."""
    subject = look(model, options, job.seed)
    top = [row for which in range(len(subject.prompts)) for row in _top(subject, which, options.k)]
    answers = [
        _answer(subject, which, name, scored)
        for which in range(len(subject.prompts))
        for name, scored in score(subject, which).items()
    ]
    first, target = top[0], answers[0]
    return Findings(
        summary={
            "target.probability": target["probability"],
            "target.log_probability": target["log_probability"],
            "target.rank": target["rank"],
        },
        caption=(
            f"After the clean prompt the model says {first['token']!r} with probability "
            f"{first['probability']:.3f}; {target['text']!r} has {target['probability']:.3g}."
        ),
        tables={
            "top": Table(
                title="Likeliest next tokens",
                columns=("prompt", "token", "id", "probability", "logit", "rank"),
                rows=tuple(tuple(row.values()) for row in top),
            ),
            "answers": Table(
                title="Answers scored whole",
                columns=("prompt", "answer", "text", "probability", "log probability (nats)"),
                rows=tuple(tuple(row.values())[:5] for row in answers),
            ),
        },
        view={
            **subject.as_json(),
            "top": top,
            "answers": answers,
            "continuation": _continuations(subject, options.n_new),
        },
    )


def _top(subject: Subject, which: int, k: int) -> list[dict[str, Any]]:
    logits = subject.base.logits[which]
    probabilities = logits.softmax(-1)
    found = logits.topk(min(k, len(logits))).indices.tolist()
    return [
        {
            "prompt": NAMES[which],
            "token": token_text(subject.model, token),
            "id": token,
            "probability": float(probabilities[token]),
            "logit": float(logits[token]),
            "rank": rank,
        }
        for rank, token in enumerate(found)
    ]


def _answer(subject: Subject, which: int, name: str, scored: Scored) -> dict[str, Any]:
    answer = subject.answers[name]
    total = float(scored.log_probs.double().sum())
    tokens = [
        {
            "text": token_text(subject.model, token),
            "id": token,
            "probability": float(scored.log_probs[place].exp()),
            "logit": float(scored.logits[place]),
            "rank": scored.ranks[place],
        }
        for place, token in enumerate(answer.ids)
    ]
    return {
        "prompt": NAMES[which],
        "answer": name,
        "text": answer.text,
        "probability": float(scored.log_probs.double().sum().exp()),
        "log_probability": total,
        "logit": float(scored.logits.double().sum()),
        "rank": scored.ranks[0],
        "tokens": tokens,
    }


def _continuations(subject: Subject, n_new: int) -> list[dict[str, Any]]:
    model = subject.model
    return [
        {
            "prompt": NAMES[which],
            "text": str(model.tokenizer.decode(ids, skip_special_tokens=True)),
            "tokens": [token_text(model, token) for token in ids],
        }
        for which, ids in enumerate(go_on(subject.base, n_new))
    ]
