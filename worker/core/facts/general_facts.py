"""Facts of 26 relations that even small models know: capitals, languages, words, animals and more.

Written for the project from general knowledge; each was checked to be true and to have one answer
in its prompt's words. The edit target is another answer of the same relation. This set is for
models from outside: the bundled model learned `relations`, of which cities and companies are asked
here in the same words, and of the rest nothing.
"""

import json
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from worker.contract.facts import Fact, FactSet, Ripple, fill

N_NEIGHBOURS = 5
_WITHOUT_MARKS = str.maketrans(
    {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae", "œ": "oe", "ß": "ss", "ʻ": "", "’": "'"}
)
"""Letters that no form of Unicode takes apart."""


@cache
def fact_set() -> FactSet:
    """Read the facts; a fact's group is its relation."""
    path = Path(__file__).with_name("general_facts.json")
    relations = json.loads(path.read_text(encoding="utf-8"))["relations"]
    return FactSet(
        name="general_facts",
        title="Facts that small models know",
        description="Capitals, cities, languages, money, animals, colors, words, people, works.",
        facts=tuple(fact for relation in relations for fact in _facts(relation)),
    )


def _facts(relation: dict[str, Any]) -> list[Fact]:
    answers: dict[str, list[str]] = relation["facts"]
    pairs = [(subject, answer) for answer, subjects in answers.items() for subject in subjects]
    return [_fact(relation, number, *pair) for number, pair in enumerate(pairs)]


def _fact(relation: dict[str, Any], number: int, subject: str, answer: str) -> Fact:
    answers = list(relation["facts"])
    others = [other for other in answers if other != answer]
    edit_target = others[number % len(others)]
    beside = [one for one in relation["facts"][answer] if one != subject]
    plain = ascii_of(answer)
    return Fact(
        id=f"{relation['name']}-{re.sub(r'[^a-z0-9]+', '-', ascii_of(subject).lower())}",
        subject=subject,
        prompt=relation["prompt"],
        target=answer,
        edit_target=edit_target,
        group=relation["name"],
        relation=relation["name"],
        question=relation["question"],
        paraphrases=tuple(relation["paraphrases"]),
        neighbourhood=tuple(fill(relation["prompt"], one) for one in beside[:N_NEIGHBOURS]),
        aliases=(plain,) if plain != answer else (),
        ripples=_backwards(relation, subject, answer, edit_target),
    )


def _backwards(
    relation: dict[str, Any], subject: str, answer: str, edit_target: str
) -> tuple[Ripple, ...]:
    ask = relation.get("backwards")
    if not ask:
        return ()
    return (
        Ripple(
            kind="reversed",
            prompt=fill(ask, answer),
            target=subject,
            edit_prompt=fill(ask, edit_target),
        ),
    )


def ascii_of(text: str) -> str:
    """A name without marks on its letters, as keyboards without them write it."""
    plain = unicodedata.normalize("NFKD", text.translate(_WITHOUT_MARKS))
    return plain.encode("ascii", "ignore").decode()
