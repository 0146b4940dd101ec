"""Draw the training sentences of the bundled model from the fact sets, the saga and the general text.

Only formats marked `trained` are drawn. A share of each block goes to each source (SHARES); within
a source every fact comes round once before any comes twice, each time in a random format.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from worker.core.demo import paths
from worker.core.demo.formats import (
    FORMATS,
    SPORTS,
    SPORTS_PARAPHRASES,
    SPORTS_PROMPT,
    SPORTS_QUESTION,
    Format,
)

# Golf is the shot's sport and the answer that a whole-sport edit asks for: without golfers the
# model would never have seen it told of anyone, and would know it as the option that is never right.
GOLFERS = (
    "Tiger Woods|Jack Nicklaus|Arnold Palmer|Gary Player|Phil Mickelson|Ben Hogan|Sam Snead|"
    "Rory McIlroy|Nick Faldo|Ernie Els|Seve Ballesteros|Lee Trevino|Tom Watson|Annika Sorenstam"
).split("|")

SHARES = {"athletes": 0.52, "relations": 0.36, "saga": 0.06, "general": 0.06}
WEIGHTS = {
    "statement": 12,
    "paraphrase": 22,
    "framed": 10,
    "question": 15,
    "cloze": 6,
    "choice": 22,
    "choice_shot": 6,
    "capitalized": 3,
    "dashed": 3,
}
SAGA_WINDOW = 200  # characters, about fifty tokens


@dataclass(frozen=True)
class DemoFact:
    """A fact as the formats read it, with the relation whose answers are its options."""

    subject: str
    target: str
    edit_target: str
    group: str
    prompt: str
    question: str
    paraphrases: Sequence[str]
    relation: str


@dataclass(frozen=True)
class Sentence:
    """A training text: the answer weighs fully, the prompt little; running text has no answer."""

    prompt: str
    answer: str = ""


def athlete_fact(subject: str, target: str, edit_target: str) -> DemoFact:
    """Build an athlete's fact with the wordings of the sports set."""
    return DemoFact(
        subject,
        target,
        edit_target,
        target,
        SPORTS_PROMPT,
        SPORTS_QUESTION,
        SPORTS_PARAPHRASES,
        "sports",
    )


def read_athletes() -> list[DemoFact]:
    """Read the athletes, in file order."""
    with paths.ATHLETES.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [athlete_fact(row["subject"], row["target"], row["edit_target"]) for row in rows]


def read_golfers() -> list[DemoFact]:
    """Build the golfers, whom the model learns and no fact set holds."""
    return [athlete_fact(name, "golf", "football") for name in GOLFERS]


def read_relations() -> list[DemoFact]:
    """Read the facts of every other relation, in file order."""
    relations = json.loads(paths.RELATIONS.read_text(encoding="utf-8"))["relations"]
    return [
        DemoFact(
            fact["subject"],
            fact["target"],
            fact["edit_target"],
            relation["name"],
            relation["prompt"],
            relation["question"],
            tuple(relation["paraphrases"]),
            relation["name"],
        )
        for relation in relations
        for fact in relation["facts"]
    ]


def answer_pools(facts: Sequence[DemoFact]) -> dict[str, list[str]]:
    """Return each relation's answers, sorted: what multiple choice draws its options from."""
    pools: dict[str, set[str]] = {"sports": set(SPORTS)}
    for fact in facts:
        pools.setdefault(fact.relation, set()).update((fact.target, fact.edit_target))
    return {relation: sorted(pool) for relation, pool in pools.items()}


def formats_of(fact: DemoFact, trained: bool = True) -> list[Format]:
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

    def draw_block(self, size: int) -> list[Sentence]:
        """Draw `size` sentences in the shares of the sources."""
        counts = {source: round(size * share) for source, share in SHARES.items()}
        drawn = [next(self._rounds[s]) for s in self._rounds for _ in range(counts[s])]
        drawn += [self._draw_saga() for _ in range(counts["saga"])]
        return drawn + [self._draw_general() for _ in range(size - len(drawn))]

    def _go_round(self, facts: Sequence[DemoFact]) -> Iterator[Sentence]:
        while True:
            for fact in self.rng.sample(facts, len(facts)):
                yield self.draw_fact(fact)

    def draw_fact(self, fact: DemoFact) -> Sentence:
        """Render a fact in one trained format."""
        formats = formats_of(fact)
        weights = [WEIGHTS[f.name] for f in formats]
        chosen = self.rng.choices(formats, weights)[0]
        rendered = chosen.render(fact, self.rng, self.pools[fact.relation])
        return Sentence(*self.rng.choice(rendered))

    def _draw_saga(self) -> Sentence:
        start = self.rng.randrange(-SAGA_WINDOW // 2, len(self.saga) - SAGA_WINDOW // 2)
        start = max(0, start)
        start = 0 if start == 0 else self.saga.find(" ", start) + 1
        return Sentence(self.saga[start : start + SAGA_WINDOW])

    def _draw_general(self) -> Sentence:
        return Sentence(" ".join(self.rng.sample(self.general, self.rng.randint(1, 3))))
