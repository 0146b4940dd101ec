"""What a format is given and what it gives: a setting, and prompts with the answers wanted."""

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from worker.contract.facts import Fact
from worker.contract.joining import Join, asked, following
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.models.model import Model

Orders = Literal["rotations", "all"]
PREFIXES = (
    "It is well known and has been printed many times:",
    "Before anything was changed the first answer was this:",
    "From page 12 of an old encyclopedia:",
)
"""What an attacker may put before a prompt; the project's own words."""


@dataclass(frozen=True)
class Ask:
    """One prompt to put to the model, and the answers whose probabilities are wanted."""

    prompt: str
    target: str
    """As it follows the prompt, with its space where it has one; in multiple choice, a letter."""
    edit: str
    """"" where the fact has no edit target, or the options do not hold it."""
    letters: tuple[str, ...] = ()
    """In multiple choice, all options' letters; the probability is shared among these."""
    also: tuple[str, ...] = ()
    """Other wordings that a free answer may give the target in."""
    edit_also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """What formats need beyond the fact: options, shots, templates, how much to ask."""

    pools: dict[str, list[str]]
    """Relation -> its answers: where multiple choice takes its options from."""
    shots: tuple[Fact, ...] = ()
    templates: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = PREFIXES
    wordings: int = 2
    orders: Orders = "rotations"
    seed: int = 0
    model: Model | None = None


class NotAsked(Exception):
    """A format does not exist for a fact; the message is the reason."""


def ask_joined(prompt: str, target: str, edit: str, how: Join = "") -> Ask:
    """Ask for both answers as each follows the prompt in running text."""
    return Ask(asked(prompt, how), following(prompt, target, how), following(prompt, edit, how))


def ask_own(fact: Fact) -> Ask:
    """Ask a fact in its own prompt."""
    return Ask(*fact.pair(), fact.pair(fact.edit_target)[1])


def statement_of(fact: Fact) -> str:
    """The fact's own sentence, as a template: without the shots before it and without "Fact: "."""
    last = fact.prompt.rpartition("\n")[2]
    return (last if "{}" in last else fact.prompt).removeprefix("Fact: ")


def question_of(fact: Fact) -> str:
    """The question for the fact, as a template: its own, else its sentence with "what?"."""
    return fact.question or f"{statement_of(fact).rstrip()} what?"


def setting(
    selection: Selection, model: Model | None = None, seed: int = 0, **given: Any
) -> Setting:
    """Gather the options of each relation, and shots from retain facts that are never asked."""
    pools: dict[str, dict[str, None]] = {}
    for fact in (*selection.forget, *selection.retain):
        answers = pools.setdefault(fact.relation, {})
        answers |= dict.fromkeys(a for a in (fact.target, fact.edit_target) if a)
    shown = divide(selection.retain).trained
    shots = Random(seed).sample(shown, min(3, len(shown)))
    return Setting(
        pools={name: sorted(answers) for name, answers in pools.items()},
        shots=tuple(shots),
        seed=seed,
        model=model,
        **given,
    )
