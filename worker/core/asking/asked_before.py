"""Which facts a model would be asked for before a run, without asking it: see `known.py`.

Where the spec leaves to the model whether prompts stand after a shot, a sample is asked both ways,
and the facts then in one of them; which one, nobody knows before, and the longer is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.contract.facts import Fact, FactSet
from worker.contract.known import BUNDLED_MODEL, Asked
from worker.contract.selection import FactsSpec, select
from worker.contract.shots import named_ids, with_shots
from worker.core.asking.known import RETAIN_ASKED, SAMPLE, Measured, spread
from worker.core.models.model import Model


@dataclass(frozen=True)
class Asking:
    """Facts of a set that are asked together."""

    fact_set: FactSet
    """As it is asked: with shots where there are any."""
    facts: tuple[Fact, ...]


def asked_before(
    model: Model,
    fact_set: FactSet,
    spec: FactsSpec,
    seed: int,
    *,
    retains: bool,
    measured: Measured,
) -> list[Asking]:
    """List what `choose_known` would ask, but for what was `measured` before."""
    ways: tuple[Asked, ...] = ("none", "one") if spec.shot == "best" else (spec.shot,)
    sets = {way: _as_asked(fact_set, spec, seed, way) for way in ways}
    last = ways[-1]
    every = sets[last].facts
    found = []
    if spec.known is not None and spec.known.holds_always:
        return []
    if spec.shot == "best":
        sample = {fact.id for fact in spread(every, SAMPLE)}
        for way, asked in sets.items():
            some = [fact for fact in asked.facts if fact.id in sample]
            found.append(_missing(asked, some, way, measured))
    if spec.known is not None:
        found.append(_missing(sets[last], every, last, measured))
    elif retains and model.id != BUNDLED_MODEL and select(sets[last], spec.forget, seed).retain:
        found.append(_missing(sets[last], spread(every, RETAIN_ASKED), last, measured))
    return [one for one in found if one.facts]


def _as_asked(fact_set: FactSet, spec: FactsSpec, seed: int, way: Asked) -> FactSet:
    return with_shots(fact_set, named_ids(fact_set, spec, seed)) if way == "one" else fact_set


def _missing(asked: FactSet, facts: Sequence[Fact], way: Asked, measured: Measured) -> Asking:
    given = measured.get(way, {})
    return Asking(asked, tuple(fact for fact in facts if fact.id not in given))
