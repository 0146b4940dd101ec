"""Facts and text on which settings are tried out: disjoint from all that the edit is judged by.

Of the retain facts that an edit may train on, as many as are to be forgotten (at most MOST) stand
in for them; the rest is retained, the watched facts are asked, and the tested ones are not touched.
Some of the ordinary passages for training are kept back to measure divergence on.

A trial takes as many steps as the edit, over smaller batches: Adam's steps are as large over fewer
rows, and the rate at which they begin to harm is what is looked for. Its time goes by the tokens
that it passes through the trained layers, so that facts, watched facts and passages are few; on
SmolLM2-135M a trial of 20 steps is some 3,000 of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from worker.contract.facts import Fact
from worker.contract.selection import Selection
from worker.core.asking.passages import training_passages
from worker.core.editing.check import Objective
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.training.material import retained
from worker.core.training.options import Training

Chosen = TypeVar("Chosen", bound=Training)
MOST, FEWEST = 6, 2
"""Facts that stand in for the forget facts."""
WATCHED = 12
"""Retain facts that a trial is judged by, at most."""
PASSAGES = 6
"""Of those kept back, at most."""
ROWS = {"forget_batch": MOST, "retain_batch": 4, "general_batch": 1, "general_sentences": 10}
"""Rows of a step of a trial, and passages that it draws from, at most."""
CONTEXT = 32
"""Tokens of a passage that a trial trains on, at most."""
PROBES = 2
"""Looks at a trial while it runs, about."""
FLOOR = 0.5
"""Share of the watched facts' probability below which a trial is stopped."""


@dataclass(frozen=True)
class Rehearsal:
    """What trials are run on."""

    selection: Selection
    passages: tuple[str, ...]
    """Ordinary text that no trial is trained on."""
    general_text: str
    """The rest of it, one passage a line."""


def rehearse_on(
    model: Model, selection: Selection, options: Training, objective: Objective, job: Job
) -> Rehearsal | None:
    """Choose the facts and passages; None where too few retain facts may be trained on.

    The same retain facts give the same rehearsal whatever the run's seed.
    """
    parts = retained(selection, job)
    usable = [f for f in parts.trained if objective == "unlearn" or _is_editable(f)]
    n = min(len(selection.forget), MOST, len(usable) // 2)
    if n < min(FEWEST, len(selection.forget)) or n == 0:
        return None
    standing_in = set(_draw(usable, n))
    watched = _draw(parts.watched, min(WATCHED, len(parts.watched)))
    rest = tuple(f for f in (*parts.trained, *watched) if f not in standing_in)
    passages = training_passages(model, options.general_text)
    kept_back = _draw(passages, min(PASSAGES, len(passages) // 4))
    others = [passage for passage in passages if passage not in set(kept_back)]
    return Rehearsal(
        Selection(forget=tuple(f for f in usable if f in standing_in), retain=rest),
        tuple(kept_back),
        "\n".join(others),
    )


def in_trials(options: Chosen, general_text: str, floor: float = 0.0) -> Chosen:
    """Give the options with which a trial of these ones is run.

    Below `floor`, or FLOOR where that is more, of the watched facts' probability it is stopped.
    """
    smaller: dict[str, Any] = {name: min(getattr(options, name), n) for name, n in ROWS.items()}
    smaller["context"] = min(options.context, CONTEXT)
    smaller["probe_every"] = max(options.probe_every, math.ceil(options.steps / PROBES))
    own = {"retain_floor": max(FLOOR, floor), "general_text": general_text}
    return options.model_copy(update=smaller | options.REHEARSED | own)


def _is_editable(fact: Fact) -> bool:
    edit = fact.edit_target.strip()
    return bool(edit) and edit != fact.target.strip()


def _draw(values: Sequence, n: int) -> list:  # type: ignore[type-arg]
    return random.Random(0).sample(list(values), n)
