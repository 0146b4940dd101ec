"""What a run's work is counted from: the model's sizes, and how long and alike its prompts are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean

from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.core.ahead.work import NOTHING, Size, Work
from worker.core.asking.passages import is_bundled, training_passages
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact

LOOKED = 48
"""Facts whose prompts are measured; they stand for the others."""
SENTENCES = 24
"""Passages of ordinary text that are measured."""
READ = 100
"""Tokens of a passage that are used, where a run does not say otherwise."""


@dataclass(frozen=True)
class Scene:
    """A model and the facts of a run on it."""

    size: Size
    facts: int
    """Facts that are localized, unlearned or measured."""
    retain: int
    """The set's other facts."""
    length: float
    """Tokens of a prompt with its answer but for the last, on average."""
    prefix: int
    """Tokens that all prompts begin with."""
    before: float
    """Tokens before the subject, on average."""
    name: float
    """Tokens of a subject, on average."""
    sentence: float
    """Tokens of a general sentence, on average."""
    lowest: int = 0
    """The lowest layer of the mask."""
    parameters: float = 0.0
    """Parameters of the mask."""
    layers: tuple[int, ...] = ()
    """Layers that the mask touches."""
    states: int = 1
    """2 where a base and an edited model are measured."""
    is_bundled: bool = False
    texts: Mapping[str, int] = field(default_factory=dict)
    """Stored text's name -> its characters."""

    @property
    def own(self) -> float:
        """Tokens of a prompt after those that all begin with."""
        return max(1.0, self.length - self.prefix)

    @property
    def after(self) -> float:
        """Positions from the subject's first on."""
        return max(1.0, self.length - self.before)

    @property
    def total(self) -> float:
        """Parameters of all blocks and of the embeddings."""
        return self.size.weights * self.size.n_layers + self.size.d_model * self.size.d_vocab

    def ask(self, rows: float, more: float = 0.0, batch: int = 64, below: int = 0) -> Work:
        """Ask `rows` prompts, whose beginning those of a batch share; `more` tokens in each."""
        if rows <= 0:
            return NOTHING
        batches = math.ceil(rows / batch)
        tokens = rows * (self.own + more) + batches * self.prefix
        # What the rows share runs first, and then what is their own.
        passes = batches * (2 if self.prefix > 1 else 1)
        blocks = self.size.blocks(tokens, self.length + more, self.size.n_layers - below, passes)
        return blocks + self.size.unembed(rows)

    def read(self, rows: float, tokens: float, batch: int = 64) -> Work:
        """Read rows of running text, every position unembedded."""
        if rows <= 0:
            return NOTHING
        blocks = self.size.blocks(
            rows * tokens, tokens, self.size.n_layers, math.ceil(rows / batch)
        )
        return blocks + self.size.unembed(rows * tokens)


def look(
    model: Model,
    facts: Sequence[Fact],
    *,
    retain: int,
    mask: Mask | None = None,
    states: int = 1,
    texts: Mapping[str, int] | None = None,
) -> Scene:
    """Measure some facts' prompts, and give what the work on all of them is counted from."""
    size = Size.of(model)
    some = [cut for fact in facts[:LOOKED] if (cut := _cut(model, fact))]
    ids = [row for row, _ in some]
    parts = [parse_component(name) for name in mask.components] if mask else []
    layers = sorted({part.layer for part in parts}) if parts else range(model.n_layers)
    return Scene(
        size=size,
        facts=len(facts),
        retain=retain,
        length=fmean(map(len, ids)) if ids else 1.0,
        prefix=_shared(ids),
        before=fmean(span[0] for _, span in some) if some else 0.0,
        name=fmean(span[1] - span[0] for _, span in some) if some else 1.0,
        sentence=_sentence(model),
        lowest=min(layers),
        parameters=(mask and mask.n_parameters) or size.weights * size.n_layers,
        layers=tuple(layers),
        states=states,
        is_bundled=is_bundled(model),
        texts=texts or {},
    )


def _cut(model: Model, fact: Fact) -> tuple[tuple[int, ...], tuple[int, int]] | None:
    """A fact's tokens up to the last that predicts, and where its subject is; None if nowhere."""
    try:
        prompt = encode_fact(model, fact)
    except UserError:  # the run leaves it out, in words
        return None
    answer = model.tokenizer(fact.pair()[1], add_special_tokens=False)["input_ids"]
    return (*prompt.ids, *answer[:-1]), prompt.subject


def _shared(rows: Sequence[tuple[int, ...]]) -> int:
    if len(rows) < 2:
        return 0
    columns = zip(*rows, strict=False)
    return next((i for i, column in enumerate(columns) if len(set(column)) > 1), 0)


def _sentence(model: Model) -> float:
    lines = tuple(training_passages(model)[:SENTENCES])
    return _length_of(str(model.path), model.tokenizer, lines)


@lru_cache(maxsize=16)
def _length_of(path: str, tokenizer: object, lines: tuple[str, ...]) -> float:
    cut = [min(READ, len(tokenizer(line)["input_ids"])) for line in lines]  # type: ignore[operator]
    return fmean(cut)
