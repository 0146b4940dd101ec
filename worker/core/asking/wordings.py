"""Answers that may be worded in several ways: the likeliest wording counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worker.contract.joining import Join, joined
from worker.core.asking.scoring import score_answers
from worker.core.models.model import Model


@dataclass(frozen=True)
class Worded:
    """A prompt and the wordings of its answer; none where nothing is asked."""

    prompt: str
    wordings: tuple[str, ...]
    join: Join = ""


@dataclass(frozen=True)
class Heard:
    """What a model makes of every prompt's answer; NaN where it has no wording."""

    probability: Float[np.ndarray, " prompt"]
    """Of the likeliest wording, whole."""
    per_token: Float[np.ndarray, " prompt"]
    """The geometric mean over the tokens of the wording that has most of it."""
    said: Float[np.ndarray, " prompt"]
    """1 where a wording's first token is the model's own first choice."""


def hear(model: Model, asked: Sequence[Worded], batch_size: int) -> Heard:
    """Score every wording after its prompt, teacher-forced, and take the best of each prompt."""
    pairs = [joined(one.prompt, wording, one.join) for one in asked for wording in one.wordings]
    places = [place for place, one in enumerate(asked) for _ in one.wordings]
    best = [np.full(len(asked), np.nan) for _ in range(3)]
    if pairs:
        scores = score_answers(model, pairs, batch_size=batch_size)
        per_token = (scores.log_prob / scores.n_tokens).exp()
        for column, found in zip(
            best, (scores.log_prob.exp(), per_token, scores.rank == 0), strict=True
        ):
            np.fmax.at(column, places, found.double().numpy())
    return Heard(*best)
