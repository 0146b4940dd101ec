"""Let a model answer in its own words, and say whether they are the answer that is asked about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worker.contract.words import is_boundary
from worker.core.asking.generation import generate
from worker.core.asking.setting import Ask
from worker.core.models.model import Model

NEW_TOKENS = 8
Pair = tuple[int, int]
"""A fact's and a format's number in a plan."""


@dataclass(frozen=True)
class Freely:
    """Which prompts are answered freely: generating costs several times what scoring does."""

    formats: tuple[str, ...]
    n_facts: int
    """Forget facts, and retain facts, at most: the first of each."""

    def pairs(self, asked: Iterable[Pair], formats: tuple[str, ...], n_forget: int) -> list[Pair]:
        """Choose among the pairs that are asked; the first `n_forget` facts are to be forgotten."""
        return [
            (i, j)
            for i, j in asked
            if formats[j] in self.formats and (i if i < n_forget else i - n_forget) < self.n_facts
        ]


@dataclass(frozen=True)
class Free:
    """A model's greedy answers to the first prompt of some pairs, compared word for word."""

    answers: dict[Pair, str]
    target: Float[np.ndarray, "fact format"]
    """1 where the answer begins with the target, as whole words; NaN where none was given."""
    edit: Float[np.ndarray, "fact format"]
    """The same of the edit target; NaN without one."""


def answer_freely(model: Model, asks: Mapping[Pair, Ask], shape: tuple[int, int]) -> Free:
    """Let the model continue each prompt greedily."""
    answers = generate(model, [one.prompt for one in asks.values()], NEW_TOKENS)
    target, edit = np.full(shape, np.nan), np.full(shape, np.nan)
    for (pair, one), answer in zip(asks.items(), answers, strict=True):
        target[pair] = float(_says_one(answer, (one.target, *one.also)))
        edit[pair] = float(_says_one(answer, (one.edit, *one.edit_also))) if one.edit else np.nan
    return Free(dict(zip(asks, answers, strict=True)), target, edit)


def _says_one(answer: str, wordings: Iterable[str]) -> bool:
    return any(says(answer, wording) for wording in wordings)


def says(answer: str, wanted: str) -> bool:
    """Say whether a free answer begins with the wanted one, as whole words."""
    answer, wanted = answer.strip(), wanted.strip()
    return answer.startswith(wanted) and is_boundary(answer, len(wanted))
