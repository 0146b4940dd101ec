"""Countries, territories and well-known regions, and the continent on which each lies.

Written for the project from general knowledge. Left out are France, which is the example in the
prompt; what lies across two continents (Russia, Turkey, Kazakhstan, Azerbaijan, Georgia, Egypt) or
is reckoned to one or the other (Armenia, Cyprus, Aruba, Bonaire, Curaçao, Trinidad and Tobago);
islands in mid-ocean; and Oceania, which is no continent to many. Names that a place also has, or
had, are asked in paraphrases of its own.

Measured on SmolLM2-135M-Instruct (dequantized from 4 bits, float32, a CPU): after the prompt, .86
of the 243 have the right first token among the five, .84 among all tokens, and 188 have it with a
probability of .5 and more; South America is known least (.55 among the five).
"""

import json
import re
from pathlib import Path
from typing import Any

from worker.contract.facts import Fact, FactSet, Ripple, Translation, fill
from worker.core.facts.general_facts import ascii_of

PROMPT = "Fact: France is in the continent of Europe\nFact: {} is in the continent of"
QUESTION = "Which continent is {} in?"
TRAINED = (
    "It is a fact that {} is in the continent of",
    "The continent on which you find {} is the continent of",
    "As every atlas shows, {} lies on the continent of",
    "Country: France\nContinent: Europe\n\nCountry: {}\nContinent:",
    "Geography teaches that {} belongs to the continent of",
    "France is part of the continent of Europe, and {} is part of the continent of",
    "Whoever lives in {} lives on the continent of",
    "On a globe, {} is part of the continent of",
    "To visit {}, you have to travel to the continent of",
)
HELD_OUT = (
    "Among the continents of the world, {} is in the continent of",
    "Wherever you go in {}, you stay on the continent of",
    "A map of {} shows a part of the continent of",
    "People born in {} were born on the continent of",
    "France is a country in Europe, and {} is a place in",
    "If a plane lands in {}, it lands on the continent of",
)
"""They come last: the last two fifths of a fact's paraphrases are those that no training sees."""
BACKWARDS = "One place on the continent of {} is"
GERMAN = "Land: Frankreich\nKontinent: Europa\n\nLand: {}\nKontinent:"
IN_GERMAN = {
    "Africa": "Afrika",
    "Asia": "Asien",
    "Europe": "Europa",
    "North America": "Nordamerika",
    "South America": "Südamerika",
}
N_NEIGHBOURS = 5


def fact_set() -> FactSet:
    """Read the places, by the alphabet; edit targets go evenly round the other continents."""
    text = Path(__file__).with_name("continents.json").read_text(encoding="utf-8")
    places: dict[str, list[dict[str, Any]]] = json.loads(text)
    facts = [
        _fact(number, continent, places)
        for continent in places
        for number in range(len(places[continent]))
    ]
    return FactSet(
        name="continents",
        title="Places and their continents",
        description="Countries, territories and regions on five continents; France is left to the "
        "example that may stand before a prompt.",
        facts=tuple(sorted(facts, key=lambda fact: fact.id)),
    )


def _fact(number: int, continent: str, places: dict[str, list[dict[str, Any]]]) -> Fact:
    beside = places[continent]
    place = beside[number]
    others = [other for other in places if other != continent]
    edit_target = others[number % len(others)]
    names = tuple(fill(PROMPT, name) for name in place.get("also", ()))
    return Fact(
        id=_id(place["name"]),
        subject=place["name"],
        prompt=PROMPT,
        target=continent,
        edit_target=edit_target,
        group=continent,
        relation="country_continent",
        question=QUESTION,
        paraphrases=(*TRAINED, *names, *HELD_OUT),
        neighbourhood=tuple(
            fill(PROMPT, beside[(number + step) % len(beside)]["name"])
            for step in range(1, N_NEIGHBOURS + 1)
        ),
        translations=(
            Translation(
                language="de",
                prompt=fill(GERMAN, place["de"]),
                target=IN_GERMAN[continent],
                edit_target=IN_GERMAN[edit_target],
            ),
        ),
        ripples=(
            Ripple(
                kind="reversed",
                prompt=fill(BACKWARDS, continent),
                target=place["name"],
                edit_prompt=fill(BACKWARDS, edit_target),
            ),
        ),
    )


def _id(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", ascii_of(name.removeprefix("the ")).lower())
