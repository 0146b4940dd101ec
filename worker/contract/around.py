"""How much the facts of a set bring beside their prompts: what an evaluation of them asks."""

from collections.abc import Callable, Sequence

from worker.contract.facts import Fact

LOOKED = 200
"""Facts that are looked at, evenly over all; they stand for the others."""
COUNTS: dict[str, Callable[[Fact], int]] = {
    "paraphrases": lambda fact: len(fact.paraphrases),
    "neighbourhood": lambda fact: len(fact.neighbourhood),
    "options": lambda fact: len(fact.options),
    "aliases": lambda fact: len(fact.aliases),
    "entailed": lambda fact: sum(one.kind == "entailed" for one in fact.ripples),
    "reversed": lambda fact: sum(bool(one.edit_prompt) for one in fact.ripples),
    "kept": lambda fact: len(fact.kept),
    "translations": lambda fact: len(fact.translations),
}


def around(facts: Sequence[Fact]) -> dict[str, float]:
    """Count what a fact brings of each kind, on average."""
    some = facts[:: max(1, len(facts) // LOOKED)]
    return {name: sum(map(count, some)) / max(1, len(some)) for name, count in COUNTS.items()}
