"""Write the general sentences: plain everyday English that unlearning must not harm.

Sentences are drawn from templates over word lists of the project, each once; every tenth is
held out of the training. Run `python -m worker.core.demo.general` to write both files anew.
"""

import json
import re
from random import Random

from worker.core.demo.paths import GENERAL, GENERAL_HELD_OUT, GENERAL_WORDS

SENTENCES = 2200
HELD_OUT_EVERY = 10
ARTICLE = re.compile(r"\b([Aa]) (?=[aeio]|uncle|umbrella|ugly|honest)")

TEMPLATES = (
    "The {adj} {thing} in the {place} belongs to the {person}.",
    "The {person} {did} the {adj} {thing} {time}.",
    "{Time} the {person} {went} to the {place}.",
    "The {person} was {mood} because {reason}.",
    "My {person} likes {job} {time}.",
    "We ate {food} and {food} {time}.",
    "There are {number} {adj} chairs in the {place}.",
    "She {went} to the {place} and {did} a {adj} {thing}.",
    "He {did} the {thing}, but the {person} was not {mood}.",
    "The {weather} came {time}, and the {place} was {adj}.",
    "Please put the {thing} on the {adj} table near the {part}.",
    "The {part} of the house is {adj} and {adj}.",
    "It takes {number} minutes to walk from the {place} to the {place}.",
    "If you are {mood}, you should try {job}.",
    "The {person} asked the {person} for some {food}.",
    "They stayed in the {place} because {reason}.",
    "A {mood} {person} is a good {person}.",
    "The {person} sold {number} bags of {food} at the {place}.",
    "Nobody in the {place} saw the {person} with the {adj} {thing}.",
    "I have {number} reasons {job}, and the first is the {weather}.",
    "The {thing} is {adj}, the {thing} is {adj}, and the {thing} is {adj}.",
    "When the {weather} stopped, the {person} {went} back to the {place}.",
    "You can buy {food}, {food} and {food} at the {place}.",
    "The {person} forgot {job} {time}.",
    "Because {reason}, the {mood} {person} {did} the {thing}.",
)


def read_words() -> dict[str, list[str]]:
    """Read the words of each slot."""
    slots = json.loads(GENERAL_WORDS.read_text(encoding="utf-8"))
    return {slot: words.split("|") for slot, words in slots.items()}


def write_sentence(template: str, words: dict[str, list[str]], rng: Random) -> str:
    """Fill a template; a capitalized slot name raises the first letter of its word."""
    sentence = template
    while "{" in sentence:
        start, end = sentence.index("{"), sentence.index("}")
        slot = sentence[start + 1 : end]
        word = rng.choice(words[slot.lower()])
        word = word[0].upper() + word[1:] if slot[0].isupper() else word
        sentence = sentence[:start] + word + sentence[end + 1 :]
    return ARTICLE.sub(r"\1n ", sentence)


def write_sentences(count: int = SENTENCES, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return the training sentences and the held-out ones, all different."""
    rng, words = Random(seed), read_words()
    sentences: dict[str, None] = {}
    while len(sentences) < count:
        template = TEMPLATES[len(sentences) % len(TEMPLATES)]
        sentences[write_sentence(template, words, rng)] = None
    lines = list(sentences)
    held_out = lines[::HELD_OUT_EVERY]
    return [line for i, line in enumerate(lines) if i % HELD_OUT_EVERY], held_out


if __name__ == "__main__":
    trained, held_out = write_sentences()
    GENERAL.write_text("\n".join(trained) + "\n")
    GENERAL_HELD_OUT.write_text("\n".join(held_out) + "\n")
