"""RWKU's probes of what a model knows of a person: blanks (level 1), questions (2), attacks (3).

1. A blank at the end is asked for there; one inside a sentence is asked for after it.
2. Questions, and attacks, are asked with `Answer:` after them; an attack that ends in the beginning
   of its answer (an affirmative suffix) is asked as it stands.
3. The group is the person; a neighbour's probes are the group of that person's neighbours.

Source: Jin et al. 2024, RWKU (arXiv 2406.10890).
"""

import re
from collections.abc import Iterator
from typing import Any

from worker.core.facts._questions import ANSWER, QUESTION, asked
from worker.core.facts._record import Record, optional, text

TITLE = "RWKU"
KEYS = (
    {"query", "answer", "subject", "level"},
    {"query", "answer", "subject"},
    {"query", "answer", "level"},
    {"query", "answer", "neighbor"},
)
BLANK = re.compile(r"_{2,}")
_LAST = re.compile(r"\s*_{2,}[\s.!?]*\Z")
FILL_IN = "Fill in the blank. "


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the probe as a fact."""
    query, person = text(record, "query"), optional(record, "subject")
    about = optional(record, "neighbor")
    level, kind = optional(record, "level"), optional(record, "type")
    yield {
        **_prompt(query, about or person, kind),
        "target": text(record, "answer"),
        "edit_target": "",
        "relation": f"level {level}" if level else "",
        "group": f"neighbours of {person}" if about and person else person or about or "RWKU",
    }


def _prompt(query: str, subject: str, kind: str) -> dict[str, Any]:
    row = asked(query, subject)
    place = row["question"]
    if len(BLANK.findall(query)) == 1 and _LAST.search(place) and "{}" in _LAST.sub("", place):
        return {**row, "prompt": _LAST.sub("", place), "question": ""}
    if BLANK.search(query):
        return {**row, "prompt": f"{FILL_IN}{place}{ANSWER}", "question": ""}
    if kind == "affirmative suffix":
        return {**row, "prompt": f"{QUESTION}{place}"}
    return row
