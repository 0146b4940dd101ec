"""How many prompts a format makes of a fact, and how long they are: counted on a few facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from worker.contract.facts import Fact
from worker.contract.selection import Selection
from worker.contract.shots import possible_answers
from worker.core.asking.formats import ask
from worker.core.asking.recall import alike
from worker.core.asking.setting import Ask, NotAsked, Setting, ask_own, setting
from worker.core.models.model import Model

LOOKED = 3
"""Facts that are rendered; they stand for the others."""
READ = 12
"""Facts whose answers are held beside those of their relation."""


@dataclass(frozen=True)
class Forms:
    """What a format makes of one fact, on average."""

    prompts: float
    rows: float
    """The prompts, and each again behind which longer answers are scored."""
    tokens: float
    """Of one prompt."""
    begun: int = 0
    """Tokens that all its prompts begin with."""


@dataclass(frozen=True)
class Renderer:
    """Renders some of the facts; `others` give shots and options."""

    model: Model
    facts: Sequence[Fact]
    others: Sequence[Fact]
    own_paraphrases: float = 0.0
    """What a fact brings of them, where they were left out of these."""

    def forms(self, name: str, given: Mapping[str, Any]) -> Forms:
        """Render the facts in a format, `given` as a `Setting` takes it; no prompt where it is
        asked of none of them."""
        selection = Selection(forget=tuple(self.facts), retain=tuple(self.others))
        how = setting(selection, self.model, 0, **given)
        some = self.facts[:: max(1, len(self.facts) // LOOKED)][:LOOKED]
        made = [one for fact in some for one in _render(name, fact, how)]
        if not made and "paraphrase" in name and self.own_paraphrases:
            made = [ask_own(fact) for fact in some]
        ids = [self.model.tokenizer(one.prompt)["input_ids"] for one in made]
        if not ids:
            return Forms(0.0, 0.0, 0.0)
        rows = sum(1 + self._longer(one) for one in made) / len(some)
        return Forms(len(ids) / len(some), rows, fmean(map(len, ids)), common(ids))

    def alike(self) -> float:
        """Count the answers that begin as a fact's own, which are scored whole beside it."""
        some = self.facts[:: max(1, len(self.facts) // READ)][:READ]
        return alike(self.model, some, possible_answers((*self.facts, *self.others)))

    def _longer(self, one: Ask) -> int:
        """Count the rows in which a prompt's answers of several tokens are scored."""
        answers = {one.target, one.edit, *one.letters} - {""}
        cut = (self.model.tokenizer(a, add_special_tokens=False)["input_ids"] for a in answers)
        return len({tuple(ids[:-1]) for ids in cut if len(ids) > 1})


def common(rows: Sequence[Sequence[int]]) -> int:
    """Count the tokens that all rows begin with; 0 for a single row."""
    if len(rows) < 2:
        return 0
    columns = zip(*rows, strict=False)
    return next(
        (i for i, column in enumerate(columns) if len(set(column)) > 1), min(map(len, rows))
    )


def _render(name: str, fact: Fact, how: Setting) -> list[Ask]:
    try:
        return ask(name, fact, how)
    except NotAsked:
        return []
