"""How a model's tokenizer cuts a fact set: what is found, how many facts it concerns, the cure."""

from typing import Literal

from worker.contract.base import Contract

Part = Literal["", "subject", "answer", "special", "shared"]
Severity = Literal["refused", "look", "told"]


class TokenChip(Contract):
    """One token as a reader sees it."""

    text: str
    id: int
    part: Part = ""
    """`shared` holds both the subject's or the answer's characters and others."""


class TokenExample(Contract):
    """One fact's prompt and answer, cut."""

    id: str
    chips: tuple[TokenChip, ...]
    note: str = ""
    """What is said of this fact, for example why it is refused."""


class TokenFinding(Contract):
    """One thing about how the facts are cut, with examples."""

    kind: str
    title: str
    explanation: str
    cure: str
    severity: Severity
    """`refused`: methods leave these facts out. `look`: they are used, and results mislead.
    `told`: all is well, and good to know."""
    n_facts: int
    n_asked: int
    """Out of how many; fewer than the set has where it was sampled."""
    examples: tuple[TokenExample, ...] = ()


class FactTokens(Contract):
    """A fact set as one model's tokenizer cuts it."""

    model: str
    weights_hash: str
    n_facts: int
    n_usable: int
    """Facts that no method refuses for how they are cut."""
    mean_tokens: float
    longest: int
    """Tokens of the longest prompt with its answer."""
    findings: tuple[TokenFinding, ...]
    samples: tuple[TokenExample, ...]
    """A few facts without a finding that refuses them."""
