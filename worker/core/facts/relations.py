"""Facts of several other relations: countries, cities, animals, musicians, authors and more.

Written for the project from general knowledge. Every fact's target is shared by at least three
other subjects of its relation; prompts about these are its neighbourhood.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from worker.contract.facts import Fact, FactSet, fill
from worker.core.facts._beyond import beyond


@cache
def fact_set() -> FactSet:
    """Read the bundled relations; a fact's group is its relation."""
    path = Path(__file__).with_name("relations.json")
    relations = json.loads(path.read_text(encoding="utf-8"))["relations"]
    return FactSet(
        name="relations",
        title="Facts of eleven relations",
        description="Places, money, animals, music, letters, science, food, firms.",
        facts=tuple(fact for relation in relations for fact in _facts(relation)),
    )


def _facts(relation: dict[str, Any]) -> list[Fact]:
    return [
        Fact(
            **row,
            **beyond(relation["name"], row["subject"], row["target"], row["edit_target"]),
            prompt=relation["prompt"],
            question=relation["question"],
            paraphrases=tuple(relation["paraphrases"]),
            group=relation["name"],
            relation=relation["name"],
            neighbourhood=_neighbours(row, relation),
        )
        for row in relation["facts"]
    ]


def _neighbours(row: dict[str, str], relation: dict[str, Any]) -> tuple[str, ...]:
    others = [f for f in relation["facts"] if f["target"] == row["target"] and f is not row]
    return tuple(fill(relation["prompt"], other["subject"]) for other in others[:5])
