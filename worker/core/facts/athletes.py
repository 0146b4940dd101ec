"""Real athletes and the sport each is known for, in the prompt of Guo et al. 2024.

The names are the project's own list, from general knowledge; whoever played two of the sports
or shares a full name with another athlete is left out. Edit targets are one of the other two
sports, as in the paper's athlete edits.
"""

import csv
from pathlib import Path

from worker.contract.facts import Fact, FactSet
from worker.core.facts._beyond import beyond

SPORTS_PROMPT = "Fact: Tiger Woods plays the sport of golf\nFact: {} plays the sport of"
SPORTS_QUESTION = "What sport does {} play?"
SPORTS_PARAPHRASES = (
    "{} plays the sport of",
    "The sport that {} plays is",
    "The athlete {} became famous in the game of",
    "{} earned a living by playing",
    "Fans know {} as a star of",
    "When people hear the name {}, they think of the sport of",
    "{} is a professional player of",
    "The career of {} was spent in professional",
    "As a child, {} dreamed of playing",
    # the last two fifths are held out, see `split_paraphrases`
    "In the world of sports, {} is known for",
    "People bought tickets to watch {} play",
    "The game in which {} competed is",
    "Reporters who follow {} write about",
    "{} became a star by playing",
    "The sport most associated with {} is",
)


def fact_set() -> FactSet:
    """Read the bundled athletes, in the file's order (which `first:N` follows)."""
    with Path(__file__).with_name("athletes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shared = {
        "prompt": SPORTS_PROMPT,
        "question": SPORTS_QUESTION,
        "paraphrases": SPORTS_PARAPHRASES,
        "relation": "athlete_sport",
    }
    facts = tuple(
        Fact(
            **row,
            **shared,
            **beyond("athlete_sport", row["subject"], row["target"], row["edit_target"]),
            neighbourhood=_neighbours(row, rows),
        )
        for row in rows
    )
    return FactSet(
        name="athletes",
        title="Athletes and their sports",
        description="Real athletes in basketball, football and baseball; golf is left to the "
        "example that may stand before a prompt.",
        facts=facts,
    )


def _neighbours(row: dict[str, str], rows: list[dict[str, str]]) -> tuple[str, ...]:
    """Prompts about the next three athletes of the same sport, in the file's order."""
    same = [other["subject"] for other in rows if other["target"] == row["target"]]
    at = same.index(row["subject"])
    return tuple(SPORTS_PROMPT.format(same[(at + step) % len(same)]) for step in (1, 2, 3))
