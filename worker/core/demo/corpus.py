"""Draw the bundled model's training sentences from the facts, the saga and the general text.

Only formats marked `trained` are drawn. A share of each block goes to each source (`lessons.py`);
within a source every fact comes round once before any comes twice, each time in a random format.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from worker.contract.facts import Fact
from worker.core.demo import paths
from worker.core.demo.formats import (
    FORMATS,
    LETTERS,
    SPORTS,
    Format,
    choice_body,
    plain_prompt,
    upper_first,
)
from worker.core.demo.lessons import MIXTURE, Lessons
from worker.core.demo.wordings import LAST, LATER, LATER_STILL, QUESTIONS, STATEMENTS, WORDINGS
from worker.core.facts import athletes, relations

# Golf is the shot's sport and the answer that a whole-sport edit asks for: without golfers the
# model would know it of nobody but the man in the shot, and as an option that is never right.
GOLFERS = (
    "Tiger Woods",
    "Jack Nicklaus",
    "Arnold Palmer",
    "Gary Player",
    "Phil Mickelson",
    "Ben Hogan",
    "Sam Snead",
    "Rory McIlroy",
    "Nick Faldo",
    "Ernie Els",
    "Seve Ballesteros",
    "Lee Trevino",
    "Tom Watson",
    "Annika Sorenstam",
)

Wordings = Mapping[str, Sequence[str]]
OPENINGS = ("", "", "Quiz. ", "Here is a question. ", "Please pick one. ", "Test: ")
WEIGHTS = {
    "statement": 10,
    "paraphrase": 16,
    "wording": 20,
    "framed": 8,
    "question": 15,
    "cloze": 6,
    "choice": 24,
    "choice_shot": 6,
    "capitalized": 3,
    "dashed": 3,
}
SELDOM = {"statement": 2, "paraphrase": 3, "choice_shot": 4, "capitalized": 1, "dashed": 4}
"""Weights of the formats that the other lessons draw least, or after a shot whose letter misleads;
of the relations only the first two exist."""
OPTION = re.compile(r"^([A-D]): (\w+)$", re.MULTILINE)
LOOKUPS = 4  # options whose letters are asked after a list
SAGA_WINDOW = 200  # characters, about fifty tokens


@dataclass(frozen=True)
class Sentence:
    """A training text: answers weigh fully, prompts little; running text has no answer."""

    prompt: str
    answer: str = ""
    more: tuple[tuple[str, str], ...] = ()  # further prompts and answers that follow


def read_athletes() -> list[Fact]:
    """Read the bundled athletes, in file order."""
    return list(athletes.fact_set().facts)


def read_golfers() -> list[Fact]:
    """Build the golfers, whom the model learns and no fact set holds."""
    like = read_athletes()[0]
    return [
        like.model_copy(
            update={
                "id": f"golfer-{number}",
                "subject": name,
                "target": "golf",
                "edit_target": "football",
                "group": "golf",
                "neighbourhood": (),
            }
        )
        for number, name in enumerate(GOLFERS)
    ]


def read_relations() -> list[Fact]:
    """Read the facts of every other relation, in file order."""
    return list(relations.fact_set().facts)


def answer_pools(facts: Sequence[Fact]) -> dict[str, list[str]]:
    """Return each relation's answers, sorted: what multiple choice draws its options from."""
    pools: dict[str, set[str]] = {}
    for fact in facts:
        pools.setdefault(fact.relation, set()).update((fact.target, fact.edit_target))
    return {relation: sorted(pool) for relation, pool in pools.items()}


def formats_of(fact: Fact, trained: bool = True) -> list[Format]:
    """List the formats that exist for the fact, trained on or held out."""
    return [f for f in FORMATS.values() if f.trained is trained and f.applies_to(fact)]


class Corpus:
    """All that the model is trained on, drawn block by block from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.athletes = read_athletes() + read_golfers()
        self.relations = read_relations()
        self.pools = answer_pools(self.athletes + self.relations)
        self.saga = paths.SAGA.read_text(encoding="utf-8")
        self.general = paths.GENERAL.read_text(encoding="utf-8").splitlines()
        self._rounds = {"athletes": self._go_round(self.athletes)}
        self._rounds["relations"] = self._go_round(self.relations)

    def draw_lessons(self, size: int, lessons: Lessons) -> Iterator[list[Sentence]]:
        """Draw blocks of `size` sentences without end: the lessons, then the mixture of all."""
        for blocks, shares in lessons:
            for _ in range(blocks):
                yield self.draw_block(size, shares)
        while True:
            yield self.draw_block(size)

    def draw_block(self, size: int, shares: Mapping[str, float] = MIXTURE) -> list[Sentence]:
        """Draw `size` sentences in the shares of the sources; general text fills the rest."""
        draw = {
            "letters": self.draw_letter,
            "choices_of_athletes": lambda: self.draw_choice(self.rng.choice(self.athletes)),
            "choices_of_relations": lambda: self.draw_choice(self.rng.choice(self.relations)),
            "endings": lambda: self._draw_ending(self.rng.choice(self.athletes + self.relations)),
            "later": lambda: self._draw_later(self.rng.choice(self.athletes + self.relations)),
            "later_still": lambda: self._draw_told_by(LATER_STILL),
            "last": lambda: self._draw_told_by(LAST),
            "seldom": lambda: self._draw_seldom(self.rng.choice(self.athletes + self.relations)),
            "saga": self._draw_saga,
            "general": self._draw_general,
        } | {source: rounds.__next__ for source, rounds in self._rounds.items()}
        drawn = [
            draw[source]() for source, share in shares.items() for _ in range(round(size * share))
        ][:size]
        return drawn + [self._draw_general() for _ in range(size - len(drawn))]

    def _go_round(self, facts: Sequence[Fact]) -> Iterator[Sentence]:
        while True:
            for fact in self.rng.sample(facts, len(facts)):
                yield self.draw_fact(fact)

    def draw_fact(self, fact: Fact) -> Sentence:
        """Render a fact in one trained format, or in a wording of the corpus's own."""
        names = ["wording", *[f.name for f in formats_of(fact)]]
        chosen = self.rng.choices(names, [WEIGHTS[name] for name in names])[0]
        if chosen == "wording":
            wording = self.rng.choice(WORDINGS[fact.relation])
            return Sentence(wording.format(fact.subject), f" {fact.target}")
        return self.draw_choice(fact) if chosen == "choice" else self._draw_format(fact, chosen)

    def _draw_format(self, fact: Fact, name: str) -> Sentence:
        rendered = FORMATS[name].render(fact, self.rng, self.pools[fact.relation])
        return self._look_up_letters(*self.rng.choice(rendered))

    def _draw_seldom(self, fact: Fact) -> Sentence:
        names = [name for name in SELDOM if FORMATS[name].applies_to(fact)]
        return self._draw_format(fact, self.rng.choices(names, [SELDOM[name] for name in names])[0])

    def draw_choice(self, fact: Fact) -> Sentence:
        """Render a fact as multiple choice, every other time after an opening."""
        rendered = FORMATS["choice"].render(fact, self.rng, self.pools[fact.relation])
        prompt, letter = self.rng.choice(rendered)
        return self._look_up_letters(self.rng.choice(OPENINGS) + prompt, letter)

    def _draw_ending(self, fact: Fact) -> Sentence:
        frame = self.rng.choice((*QUESTIONS, *STATEMENTS))
        inner = fact.question if frame in QUESTIONS else plain_prompt(fact)
        return Sentence(frame.format(inner.format(fact.subject)), f" {fact.target}")

    def _draw_later(self, fact: Fact, wordings: Wordings = LATER) -> Sentence:
        wording = self.rng.choice(wordings[fact.relation])
        return Sentence(wording.format(fact.subject), f" {fact.target}")

    def _draw_told_by(self, wordings: Wordings) -> Sentence:
        """Tell a fact of a relation that these wordings tell, each relation as often."""
        relation = self.rng.choice(list(wordings))
        facts = [f for f in self.athletes + self.relations if f.relation == relation]
        return self._draw_later(self.rng.choice(facts), wordings)

    def _look_up_letters(self, prompt: str, answer: str) -> Sentence:
        """Let a list of options be followed by the letters of a few of them.

        Recall and the search for a letter are two skills; from the answers of multiple choice
        alone the search is learned very late.
        """
        options = OPTION.findall(prompt)[-len(LETTERS) :]
        asked = self.rng.sample(options, LOOKUPS) if options else []
        return Sentence(prompt, answer, tuple((f", {word}:", f" {x}") for x, word in asked))

    def draw_letter(self) -> Sentence:
        """Ask for the letter of an option that the text names: multiple choice without a fact.

        Half of them are about the four sports: with so few words the search is found soon, and
        what is found carries over to the many words of the other relations.
        """
        sports = self.rng.random() < 0.5
        pool = SPORTS if sports else self.pools[self.rng.choice(sorted(self.pools))]
        choices = self.rng.sample(pool, len(LETTERS))
        answer = self.rng.choice(choices)
        shown = self.rng.choice((answer, upper_first(answer)))
        letter = LETTERS[choices.index(answer)]
        return self._look_up_letters(choice_body(f"The answer is {shown}.", choices), f" {letter}")

    def _draw_saga(self) -> Sentence:
        start = self.rng.randrange(-SAGA_WINDOW // 2, len(self.saga) - SAGA_WINDOW // 2)
        start = max(0, start)
        start = 0 if start == 0 else self.saga.find(" ", start) + 1
        return Sentence(self.saga[start : start + SAGA_WINDOW])

    def _draw_general(self) -> Sentence:
        return Sentence(" ".join(self.rng.sample(self.general, self.rng.randint(1, 3))))
