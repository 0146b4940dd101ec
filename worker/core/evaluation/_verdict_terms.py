"""What the verdict is made of: thresholds, answers, and the scale of a number."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from worker.contract.base import Options as BaseOptions

LEAST = 0.05
"""Probability over chance that the base must have somewhere for its fall to say anything."""
NO_POWER = "cannot be said"
About = Literal["known", "said", "spread", "back", "read", "kept", "text"]


class Thresholds(BaseOptions):
    """From where on a number counts."""

    known: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Probability in the base, over chance, from which it knows the facts.",
    )
    said: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Share of the base's probability, over chance, above which a fact is said.",
    )
    returned: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the base's probability, over chance, from which it is back.",
    )
    read: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of what probes read of retain facts, over what controls with shuffled "
        "answers read, from which forget facts are hidden.",
    )
    kept: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="Share of the base's probability, over chance, below which what was to stay "
        "is harmed.",
    )
    lost: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="The same share, below which retain facts, or facts of another kind, are lost "
        "and the model is broken.",
    )
    text: float = Field(
        1.1, gt=1, le=100, description="Perplexity over the base's, above which text is harmed."
    )
    text_broken: float = Field(
        1.5, gt=1, le=100, description="Perplexity over the base's, above which it is broken."
    )
    divergence: float = Field(
        0.1,
        gt=0,
        le=100,
        description="Divergence from the base's next tokens on ordinary text (nats per token), "
        "above which text is harmed, whether its perplexity rose or fell.",
    )
    divergence_broken: float = Field(
        0.7,
        gt=0,
        le=100,
        description="The same divergence, above which the model is broken: the words that the base "
        "expects have less than half of their probability left, as lost facts have.",
    )
    repetition: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Rise of the share of repeated words in greedy continuations, above which text "
        "is harmed.",
    )
    repetition_broken: float = Field(
        0.35, gt=0, lt=1, description="The same rise, above which the model is broken."
    )


@dataclass(frozen=True)
class Answer:
    """One row of the verdict."""

    question: str
    answer: str
    """yes, no, harmed, broken, or that it cannot be said and why."""
    number: str
    value: float | None
    rule: str
    about: About
    short: str = ""
    """What the question is about, for a sentence on several of its kind."""

    @property
    def row(self) -> tuple[str, str, str, float | None, str]:
        value = None if self.value is None else round(self.value, 4)
        return self.question, self.answer, self.number, value, self.rule

    @property
    def is_decided(self) -> bool:
        return not self.answer.startswith(NO_POWER)


@dataclass(frozen=True)
class Scale:
    """What a number is a share of: a reference, over what says nothing."""

    reference: float
    chance: float
    whose: str = "the base's"
    over: str = "chance"

    def share(self, value: float) -> float:
        """The share of the reference over chance; negative below chance."""
        return (value - self.chance) / max(self.reference - self.chance, 1e-9)

    def cut(self, share: float) -> float:
        """The number itself at which a share is reached."""
        return self.chance + share * (self.reference - self.chance)

    def rule(self, words: str, share: float) -> str:
        """State a rule by its cut on the number's own scale, and what that is a share of."""
        return (
            f"{words} {self.cut(share):.2f}: {share:g} of {self.whose} {self.reference:.2f}, "
            f"over a {self.over} of {self.chance:.2f}"
        )

    @property
    def says(self) -> bool:
        """Whether the reference is far enough over chance for a fall to say anything."""
        return self.reference - self.chance > LEAST
