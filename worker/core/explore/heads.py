"""Shows every head by what it adds directly to the answer, where it looks, and what its habits are.

direct: what the head writes at the last token, along the target's logit over the distractor's.
attention: of the last token to the subject. mover: the part of `direct` that comes from the
subject's tokens. previous, duplicate and induction: mean attention to the token before, to the same
token before and to the one after it, on the same random tokens twice.

Sources: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; Olsson et al. 2022,
In-context Learning and Induction Heads.
Limits: attention is not effect; what a head does through later components is seen by patching it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from worker.contract.result import Axis
from worker.core.explore._direct import SITES, combined, read_answers, split_heads
from worker.core.explore._intervening import intervening
from worker.core.explore._moved import moved
from worker.core.explore._options import SubjectOptions
from worker.core.explore._patterns import attend, groups, habits, sharing
from worker.core.explore._subject import look, prompt_of
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model

TITLE = "Heads of a prompt"
PAPER = "https://transformer-circuits.pub/2021/framework/index.html"
_TITLES = {
    "direct": ("logit difference", "Added directly to the target's logit over the distractor's"),
    "attention": ("attention", "Attention of the last token to the subject"),
    "mover": ("logit difference", "Part of it that comes from the subject's tokens"),
    "previous": ("attention", "Attention to the token before (random tokens)"),
    "duplicate": ("attention", "Attention to the same token before (random tokens twice)"),
    "induction": ("attention", "Attention to what followed the same token (random tokens twice)"),
}


class Options(SubjectOptions):
    """The subject, and which prompt is looked at."""

    which: Literal["clean", "corrupted"] = Field("clean", description="The prompt that is read.")


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Score every head; see the module's docstring."""
    subject = look(model, options, job.seed, SITES)
    which = prompt_of(subject, options.which)
    job.report.progress(0.2, "splitting the logits")
    read = read_answers(subject, which)
    grids = {"direct": combined({name: split_heads(one) for name, one in read.items()})}
    start, stop = subject.prompts[which].subject
    job.report.progress(0.5, "reading where heads look")
    if stop > start:
        attended = attend(model, lambda: subject.run([(which, ())], SITES))
        patterns = [pattern[:, -1, start:stop].sum(-1) for pattern in attended.patterns]
        grids["attention"] = torch.stack(patterns).cpu().double().numpy()
        if all(len(one.rows) == 1 for one in read.values()):
            direction = combined({name: one.directions[0] for name, one in read.items()})
            from_subject = [
                moved(attended, layer, direction)[:, start:stop].sum(-1)
                for layer in range(model.n_layers)
            ]
            grids["mover"] = torch.stack(from_subject).cpu().double().numpy()
    job.report.progress(0.8, "reading what heads usually do")
    grids |= habits(model, job.seed)
    axes = (
        Axis(name="layer", labels=tuple(map(str, range(model.n_layers)))),
        Axis(name="head", labels=tuple(map(str, range(model.n_heads)))),
    )
    layer, head = np.unravel_index(np.abs(grids["direct"]).argmax(), grids["direct"].shape)
    return Findings(
        arrays={
            f"heads.{name}": Array(
                grid, axes, *_TITLES[name], signed=_TITLES[name][0] != "attention"
            )
            for name, grid in grids.items()
        },
        caption=(
            f"Head {head} of layer {layer} adds most to {subject.target.text!r} directly: "
            f"{grids['direct'][layer, head]:+.2f}."
        ),
        view={
            **subject.as_json(),
            "which": options.which,
            "groups": groups(model),
            "sharing": sharing(model),
        },
    )
