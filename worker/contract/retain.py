"""Which retain facts an edit trains on, watches itself by, and is judged by: never the same."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from worker.contract.facts import Fact

TESTED, WATCHED = 5, 5
"""Every fifth fact is tested (Guo et al. 2024: 80/20), of the others every fifth watched."""


class RetainParts(NamedTuple):
    """The retain facts by what they serve for; each part in the set's order."""

    trained: tuple[Fact, ...]
    """An edit may train on these, or protect their keys."""
    watched: tuple[Fact, ...]
    """Quick probes ask these while an edit runs, and choose its settings and its checkpoint."""
    tested: tuple[Fact, ...]
    """Evaluations ask these; no edit has seen them."""


def divide(facts: Sequence[Fact]) -> RetainParts:
    """Cut retain facts by each fact's own hash, so that every run, whatever its seed and its forget
    facts, puts one fact into the same part.

    Of three facts or more no part is empty: a part that would be takes the fact of least hash from
    the largest. Of two, one is trained on and one tested; a single one is trained on.
    """
    # Where two parts are as large, the first named gives.
    parts: dict[str, list[str]] = {"watched": [], "trained": [], "tested": []}
    for fact in sorted(facts, key=_draw):
        parts[_part(_draw(fact))].append(fact.id)
    for name in ("trained", "tested", "watched")[: len(facts)]:
        if not parts[name]:
            parts[name].append(max(parts.values(), key=len).pop(0))
    chosen = {name: set(ids) for name, ids in parts.items()}
    return RetainParts(
        **{name: tuple(f for f in facts if f.id in ids) for name, ids in chosen.items()}
    )


def _part(drawn: int) -> str:
    if drawn % TESTED == 0:
        return "tested"
    return "watched" if drawn // TESTED % WATCHED == 0 else "trained"


def _draw(fact: "Fact") -> int:
    """Draw by subject and relation: a fact in another wording goes where the first one went."""
    key = f"{fact.relation or fact.prompt}\0{fact.subject.casefold()}"
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big")
