"""Splits an answer's logit into what each component writes to the last token.

Every attention, every MLP, the embeddings, and the constants of the final norm and the unembedding
add a part; a soft cap takes one away. With the rest, which is rounding, they add up to the model's
own logit. Of an answer of several tokens, logits are summed over its tokens.

Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits. Weights are not
folded; the final norm's scale is frozen at that of the run.
Limits: direct effects only; a component that works through later ones adds nothing here.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from worker.contract.result import Axis, Table
from worker.core.explore._direct import DIFFERENCE, SITES, read_answers, split
from worker.core.explore._intervening import intervening
from worker.core.explore._options import SubjectOptions
from worker.core.explore._subject import look, prompt_of
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model

TITLE = "Direct logit attribution of a prompt"
PAPER = "https://transformer-circuits.pub/2021/framework/index.html"


class Options(SubjectOptions):
    """The subject, and which prompt is looked at."""

    which: Literal["clean", "corrupted"] = Field("clean", description="The prompt that is split.")


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Split the logits; see the module's docstring."""
    subject = look(model, options, job.seed, SITES)
    which = prompt_of(subject, options.which)
    job.report.progress(0.3, "splitting the logits")
    read = read_answers(subject, which)
    parts = {name: split(one) for name, one in read.items()}
    logits = {name: one.logit for name, one in read.items()}
    if len(parts) == 2:
        target, distractor = parts["target"], parts["distractor"]
        parts[DIFFERENCE] = {name: target[name] - distractor[name] for name in target}
        logits[DIFFERENCE] = logits["target"] - logits["distractor"]
    names = tuple(parts["target"])
    axes = (Axis(name="component", labels=names),)
    sums = {
        name: {
            "logit": logits[name],
            "sum": sum(value for part, value in own.items() if part != "rest"),
            "rest": own["rest"],
        }
        for name, own in parts.items()
    }
    rows = tuple((name, *(own[name] for own in parts.values())) for name in names)
    total = ("sum", *(sum(own.values()) for own in parts.values()))
    return Findings(
        arrays={
            f"decomposition.{name}": Array(
                np.array(list(own.values())), axes, "logit", _title(name), signed=True
            )
            for name, own in parts.items()
        },
        summary={f"decomposition.{name}.rest": one["rest"] for name, one in sums.items()},
        caption=_caption(subject.target.text, parts, logits),
        tables={
            "decomposition": Table(
                title="Parts of the logits",
                columns=("component", *parts),
                rows=(*rows, total),
            )
        },
        view={**subject.as_json(), "which": options.which, "sums": sums},
    )


def _title(name: str) -> str:
    if name == DIFFERENCE:
        return "Parts of the target's logit over the distractor's"
    return f"Parts of the {name}'s logit"


def _caption(target: str, parts: dict[str, dict[str, float]], logits: dict[str, float]) -> str:
    name = DIFFERENCE if DIFFERENCE in parts else "target"
    own = {part: value for part, value in parts[name].items() if part != "rest"}
    largest = max(own, key=lambda part: abs(own[part]))
    what = "logit difference" if name == DIFFERENCE else "logit"
    return (
        f"Of {target!r}'s {what} of {logits[name]:.2f}, {largest} writes {own[largest]:+.2f} "
        f"directly; all parts add up to it within {abs(parts[name]['rest']):.1g}."
    )
