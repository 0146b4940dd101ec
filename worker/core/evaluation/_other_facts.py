"""Facts of other kinds than those edited, of which the base has each answer ready.

An edit that says its own answers wherever it is asked loses these first, while its retain facts and
ordinary text, which it was trained to keep, still read well. A kind counts by itself: the mean over
all would hide that one of them is gone.
"""

import random
from collections.abc import Iterable, Sequence

import numpy as np

from worker.contract.facts import Fact, FactSet
from worker.contract.selection import Selection
from worker.core.asking.passages import is_bundled
from worker.core.asking.rows import statement_probabilities
from worker.core.facts import general_facts, relations
from worker.core.models.model import Model
from worker.core.models.prompts import can_be_asked

PER_KIND = 10
"""Facts asked of each kind, at most."""
READY = 0.5
"""Probability in the base from which an answer is ready: likelier than all others together."""
ENOUGH = 3
"""Such facts of a kind, from which on it counts by itself."""
Kinds = dict[str, tuple[Fact, ...]]


def other_facts(model: Model, selection: Selection, per_kind: int = PER_KIND) -> tuple[Fact, ...]:
    """Draw facts of the bundled kinds that the selection has not; for every run the same ones.

    The bundled model was made from its own kinds; others are asked what is generally known.
    """
    own = (*selection.forget, *selection.retain)
    kinds = {fact.relation for fact in own}
    said = {(fact.subject.casefold(), fact.target.casefold()) for fact in own}
    edited = {fact.subject.casefold() for fact in selection.forget}
    drawn: list[Fact] = []
    for kind, facts in _by_kind(_known_to(model).facts).items():
        free = [
            fact
            for fact in facts
            if kind not in kinds
            and fact.subject.casefold() not in edited
            and (fact.subject.casefold(), fact.target.casefold()) not in said
        ]
        drawn += random.Random(0).sample(free, min(per_kind, len(free)))
    return tuple(drawn)


def ready(model: Model, facts: tuple[Fact, ...]) -> Kinds:
    """Keep the facts whose answers the model has ready, of the kinds of which it has enough."""
    kinds = _by_kind(known(model, facts))
    return {kind: tuple(own) for kind, own in kinds.items() if len(own) >= ENOUGH}


def known(model: Model, facts: Sequence[Fact]) -> list[Fact]:
    """Keep the facts whose answers the model has ready; what it cannot be asked it has not."""
    asked = [fact for fact in facts if can_be_asked(model, fact)]
    told = statement_probabilities(model, asked)[0] if asked else np.zeros(0)
    return [fact for fact, p in zip(asked, told, strict=True) if p >= READY]


def ask_kinds(model: Model, kinds: Kinds) -> dict[str, float]:
    """Give the mean probability of each kind's answers, and as `others` that of all of them."""
    facts = [fact for own in kinds.values() for fact in own]
    if not facts:
        return {}
    told = statement_probabilities(model, facts)[0]
    ends = np.cumsum([len(own) for own in kinds.values()])[:-1]
    means = {
        f"others.{kind}": float(part.mean())
        for kind, part in zip(kinds, np.split(told, ends), strict=True)
    }
    return {"others": float(told.mean())} | means


def _known_to(model: Model) -> FactSet:
    return relations.fact_set() if is_bundled(model) else general_facts.fact_set()


def _by_kind(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        found.setdefault(fact.relation, []).append(fact)
    return found
