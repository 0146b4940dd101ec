"""Shows what the model says next: the likeliest tokens of each prompt, its answers, how it goes on.

Answers of several tokens are scored whole, each token after the true ones before it. The
continuation is greedy.
"""

from __future__ import annotations

import torch
from pydantic import Field

from worker.contract.result import Table
from worker.core.explore._answers import ask, said_json, top_json
from worker.core.explore._greedy import go_on
from worker.core.explore._intervening import intervening
from worker.core.explore._options import SubjectOptions
from worker.core.explore._subject import NAMES, look
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Predictions"


class Options(SubjectOptions):
    """The subject, and how much is shown of it."""

    k: int = Field(10, ge=1, le=100, description="Likeliest tokens listed of each prompt.")
    n_new: int = Field(20, ge=0, le=200, description="Tokens that each prompt is continued by.")


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Ask each prompt once; see the module's docstring."""
    subject = look(model, options, job.seed)
    base, prompts = subject.base, range(len(subject.prompts))
    top = [
        {"prompt": NAMES[which], **row}
        for which in prompts
        for row in top_json(subject, base.logits[which], options.k)
    ]
    answers = [answer for which in prompts for answer in ask(subject, which)]
    said = [said_json(subject, ids) for ids in go_on(base, options.n_new, job.report)]
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
            "continuation": [{"prompt": NAMES[which], **said[which]} for which in prompts],
        },
    )
