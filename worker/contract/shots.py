"""A fact's prompt after another fact of its relation, and the answers that a relation has."""

from collections import Counter

from worker.contract.facts import Fact, FactSet
from worker.contract.result import Provenance
from worker.contract.selection import FactsSpec, retarget, select


def relation_of(fact: Fact) -> str:
    """Name what a fact is asked together with: its relation, or else its template."""
    return fact.relation or fact.prompt


def possible_answers(facts: tuple[Fact, ...]) -> dict[str, tuple[str, ...]]:
    """List the different targets of each relation, in the facts' order."""
    found: dict[str, dict[str, None]] = {}
    for fact in facts:
        found.setdefault(relation_of(fact), {})[fact.target] = None
    return {relation: tuple(answers) for relation, answers in found.items()}


def with_shots(fact_set: FactSet, named: frozenset[str] = frozenset()) -> FactSet:
    """Put another fact of its relation with its answer before every prompt, on a line of its own.

    The shot is the relation's last fact that is not among `named`, the facts that a selection names
    one by one; it is no fact of the set any more, so that it is neither forgotten nor retained. A
    relation without two facts, or whose facts are all named, keeps its prompts.
    """
    shots: dict[str, Fact] = {}
    n_facts = Counter(relation_of(fact) for fact in fact_set.facts)
    for fact in fact_set.facts:
        if fact.id not in named and n_facts[relation_of(fact)] > 1 and "{}" not in _told(fact):
            shots[relation_of(fact)] = fact
    used = {fact.id for fact in shots.values()}
    facts = tuple(
        _after(fact, shots.get(relation_of(fact))) for fact in fact_set.facts if fact.id not in used
    )
    return fact_set.model_copy(update={"facts": facts})


def _after(fact: Fact, shot: Fact | None) -> Fact:
    if shot is None:
        return fact
    return fact.model_copy(update={"prompt": f"{_told(shot)}\n{fact.prompt}"})


def _told(fact: Fact) -> str:
    return fact.said()


def named_ids(fact_set: FactSet, spec: FactsSpec, seed: int) -> frozenset[str]:
    """The facts that a selection names (by ids, a split or a group); none where it counts them."""
    if spec.forget not in fact_set.splits and spec.forget.partition(":")[0] in ("first", "random"):
        return frozenset()
    return frozenset(fact.id for fact in select(fact_set, spec.forget, seed).forget)


def as_asked(fact_set: FactSet, spec: FactsSpec, seed: int, shot: bool) -> FactSet:
    """Give a set's facts the edit targets that a spec names, and shots where prompts have them."""
    changed = retarget(fact_set, spec, seed)
    return with_shots(changed, named_ids(changed, spec, seed)) if shot else changed


def forgotten(
    fact_set: FactSet, spec: FactsSpec, seed: int, made: Provenance | None
) -> tuple[Fact, ...]:
    """Find the facts that a run forgot, as they were asked; `made` is its result's provenance."""
    asked = as_asked(fact_set, spec, seed, made is not None and made.shot)
    if made is None or made.forget is None:
        return select(asked, spec.forget, seed).forget
    return tuple(fact for fact in asked.facts if fact.id in made.forget)
