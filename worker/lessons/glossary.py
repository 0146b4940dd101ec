"""The field's words, explained once: `glossary.yaml` beside this file holds them."""

from functools import cache
from pathlib import Path

import yaml

from worker.contract.base import Contract, parse

FILE = Path(__file__).with_name("glossary.yaml")


class Term(Contract):
    """One word, in a sentence or two that a student understands."""

    says: str
    also: tuple[str, ...] = ()
    """Other forms of the word that are explained by it."""


@cache
def glossary() -> dict[str, Term]:
    """Every term by its word."""
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {str(word): parse(Term, one, str(word)) for word, one in data.items()}


def forms() -> dict[str, str]:
    """Every form of every word -> the word, longest first, so that a whole phrase is found."""
    found = {form: word for word, term in glossary().items() for form in (word, *term.also)}
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))
