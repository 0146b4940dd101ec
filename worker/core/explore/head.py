"""Opens one head: where it looks on both prompts, what it reads and writes, what it usually does.

Patterns are the model's own, raw and times the norm of what is attended to. What it writes is its
output at a token, through the frozen final norm and the unembedding: tokens that it promotes and
suppresses. What it reads is, for the tokens that it takes most from, what their values promote.

Sources: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; Kobayashi et al.
2020, Attention is Not Only a Weight (arXiv 2004.10102), for the norms.
Limits: direct effects; what later components make of its output is seen by patching it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from worker.contract.result import Axis, Table
from worker.core.explore._direct import SITES, combined, read_answers
from worker.core.explore._intervening import intervening
from worker.core.explore._moved import moved
from worker.core.explore._options import SubjectOptions
from worker.core.explore._patterns import Attended, attend, habits, sharing
from worker.core.explore._places import check_place, token_of
from worker.core.explore._promoted import written_by_head
from worker.core.explore._subject import CLEAN, NAMES, Subject, look
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model

TITLE = "One head of a prompt"
PAPER = "https://transformer-circuits.pub/2021/framework/index.html"
SOURCES = 5
"""Tokens listed of those that a head takes most from."""


class Options(SubjectOptions):
    """The subject, and the head."""

    layer: int = Field(0, ge=0, description="The head's layer.")
    head: int = Field(0, ge=0, description="The head's number in its layer.")
    token: int | None = Field(
        None, ge=0, description="The token at which its output is read; empty: the last."
    )
    k: int = Field(10, ge=1, le=100, description="Tokens listed that it promotes and suppresses.")


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Open the head; see the module's docstring."""
    check_place(model, "layer", options.layer, model.n_layers)
    check_place(model, "head", options.head, model.n_heads)
    subject = look(model, options, job.seed, SITES)
    token = token_of(subject.n_positions, options.token)
    found = Findings()
    attended = []
    for which in range(len(subject.prompts)):
        job.report.progress(0.2 + 0.3 * which, f"reading the {NAMES[which]} prompt")
        attended.append(attend(model, partial(subject.run, [(which, ())], SITES)))
        found.arrays |= _arrays(subject, which, attended[which], options)
    job.report.progress(0.8, "reading what it writes")
    written = written_by_head(attended[CLEAN], options.layer, options.head, token)
    scores = _scores(subject, attended[CLEAN], options, job.seed, found)
    reads = _reads(subject, attended[CLEAN], options, token)
    promoted, suppressed = written.tokens(options.k), written.tokens(options.k, largest=False)
    found.tables["writes"] = Table(
        title="What it promotes and suppresses",
        columns=("token", "id", "logit"),
        rows=tuple(tuple(row.values()) for row in [*promoted, *reversed(suppressed)]),
    )
    found.caption = _caption(options, reads, promoted)
    found.view = {
        **subject.as_json(),
        "layer": options.layer,
        "head": options.head,
        "token": token,
        "scores": scores,
        "promoted": promoted,
        "suppressed": suppressed,
        "reads": reads,
        "sharing": sharing(model, options.head),
    }
    return found


def _arrays(subject: Subject, which: int, attended: Attended, options: Options) -> dict[str, Array]:
    name, layer, head = NAMES[which], options.layer, options.head
    places = tuple(map(str, range(len(subject.prompts[which].ids))))
    key = Axis(name="key", labels=places)
    axes = (Axis(name="query", labels=places), key)
    grids = {
        "pattern": (attended.patterns[layer][head], "attention"),
        "weighted": (attended.weighted(layer)[head], "attention × norm of the value"),
    }
    found = {
        f"head.{kind}.{name}": Array(
            grid.cpu().double().numpy(), axes, unit, f"Where it looks ({name})"
        )
        for kind, (grid, unit) in grids.items()
    }
    sources = _sources(subject, which, attended, options)
    if sources is not None:
        found[f"head.sources.{name}"] = Array(
            sources, (key,), "logit difference", f"What each token adds ({name})", signed=True
        )
    return found


def _sources(
    subject: Subject, which: int, attended: Attended, options: Options
) -> Float[np.ndarray, " key"] | None:
    """What each token adds through the head to the answer; None for answers of several tokens."""
    read = read_answers(subject, which)
    if any(len(one.rows) > 1 for one in read.values()):
        return None
    direction = combined({name: one.directions[0] for name, one in read.items()})
    found: np.ndarray = (
        moved(attended, options.layer, direction)[options.head].cpu().double().numpy()
    )
    return found


def _scores(
    subject: Subject, attended: Attended, options: Options, seed: int, found: Findings
) -> dict[str, float | None]:
    layer, head = options.layer, options.head
    start, stop = subject.prompts[CLEAN].subject
    sources = found.arrays.get("head.sources.clean")
    has_subject = stop > start
    pattern = attended.patterns[layer][head]
    usual = habits(subject.model, seed)
    return {
        "direct": None if sources is None else float(sources.values.sum()),
        "attention": float(pattern[-1, start:stop].sum()) if has_subject else None,
        "mover": float(sources.values[start:stop].sum()) if has_subject and sources else None,
        **{name: float(grid[layer, head]) for name, grid in usual.items()},
    }


def _reads(
    subject: Subject, attended: Attended, options: Options, token: int
) -> list[dict[str, Any]]:
    """The tokens that it takes most from, and what their values promote through its output."""
    layer, head = options.layer, options.head
    weighted = attended.weighted(layer)[head, token]
    most = weighted.topk(min(SOURCES, token + 1)).indices.tolist()
    prompt = subject.prompts[CLEAN]
    return [
        {
            "position": place,
            "text": prompt.tokens[place],
            "attention": float(attended.patterns[layer][head, token, place]),
            "weighted": float(weighted[place]),
            "promoted": written_by_head(attended, layer, head, token, source=place).tokens(5),
        }
        for place in most
    ]


def _caption(options: Options, reads: list[dict[str, Any]], promoted: list[dict[str, Any]]) -> str:
    return (
        f"Head {options.head} of layer {options.layer} takes most from {reads[0]['text']!r} "
        f"(attention {reads[0]['attention']:.2f}) and promotes {promoted[0]['token']!r} most "
        f"({promoted[0]['logit']:+.2f})."
    )
