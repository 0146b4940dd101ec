"""What a run's work is counted from: the model's sizes, and how long and alike its prompts are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from worker.contract.around import around
from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.retain import TESTED, WATCHED, divide
from worker.core.ahead.rendered import Forms, Renderer, common
from worker.core.ahead.work import NOTHING, Size, Work
from worker.core.asking import continuations
from worker.core.asking.passages import beginnings, is_bundled, training_passages
from worker.core.kept import once_for_each
from worker.core.models.model import Model
from worker.core.models.prefix import least_saved
from worker.core.models.prompts import answer_of, encode_fact
from worker.core.patching.shared_answers import shared_answers

LOOKED = 48
"""Facts whose prompts are measured; they stand for the others."""
SENTENCES = 24
"""Passages of ordinary text that are measured."""
READ = 400
"""Tokens of a passage that are counted, at most."""
SEEN = 300
"""Retain facts from which formats take shots and options."""
HOW = ("wordings", "orders", "templates", "prefixes")
"""Options that say how a format asks."""
DIVIDED = 2_000
"""Retain facts that are parted one by one; of more, each part has its share."""


@dataclass(frozen=True)
class Scene:
    """A model and the facts of a run on it."""

    size: Size
    facts: int
    """Facts that are localized, unlearned or measured."""
    retain: int
    """The set's other facts."""
    lengths: tuple[int, ...]
    """Tokens of prompts with their answers but for the last, the shortest first."""
    answers: tuple[int, ...]
    """Tokens of answers, the shortest first."""
    prefix: int
    """Tokens that all prompts begin with."""
    before: float
    """Tokens before the subject, on average."""
    name: float
    """Tokens of a subject, on average."""
    sentences: tuple[int, ...]
    """Tokens of general passages, the shortest first."""
    begins: tuple[int, ...] = (1,)
    """Tokens of the ordinary prompts that are continued, the shortest first."""
    rendered: Renderer | None = None
    """Renders the facts in formats; None where there are no facts."""
    parted: tuple[int, int, int] = (0, 0, 0)
    """Retain facts that are trained on, watched and tested."""
    around: Mapping[str, float] = field(default_factory=dict)
    """What a fact brings beside its prompt, on average; see `contract.around`."""
    lowest: int = 0
    """The lowest layer of the mask."""
    parameters: float = 0.0
    """Parameters of the mask."""
    layers: tuple[int, ...] = ()
    """Layers that the mask touches."""
    in_deltas: float = 0.0
    """Numbers that the files of edits below hold."""
    states: int = 1
    """2 where a base and an edited model are measured."""
    changed: tuple[int, ...] = ()
    """Facts that each edit changed which lies on the base, or is to be put there."""
    is_probed: bool = False
    """Whether facts share so few answers that a probe tells these apart."""
    kinds: int = 2
    """Different answers that the facts have, or are to get."""
    kept: frozenset[str] = frozenset()
    """What was measured of this base before and is kept; see `measured_before.py`."""
    is_bundled: bool = False
    texts: Mapping[str, int] = field(default_factory=dict)
    """Stored text's name -> its characters."""

    @property
    def length(self) -> float:
        """Tokens of a prompt with its answer but for the last, on average."""
        return fmean(self.lengths)

    @property
    def answer(self) -> float:
        """Tokens of an answer, on average."""
        return fmean(self.answers)

    @property
    def sentence(self) -> float:
        """Tokens of a general passage, on average."""
        return fmean(self.sentences)

    @property
    def after(self) -> float:
        """Positions from the subject's first on."""
        return max(1.0, self.length - self.before)

    @property
    def total(self) -> float:
        """Parameters of all blocks and of the embeddings."""
        return self.size.weights * self.size.n_layers + self.size.d_model * self.size.d_vocab

    def written(self, options: Any) -> tuple[int, ...]:
        """The layers that a closed form writes: ROME one, as `closed_form/layers.py` chooses it."""
        layer: int | None = getattr(options, "layer", None)
        if layer is None:
            return self.layers
        return (self.layers[len(self.layers) // 2] if layer < 0 else layer,)

    def brings(self, name: str) -> float:
        """Give how many of a kind a fact brings, on average."""
        return self.around.get(name, 0.0)

    def tested(self, at_most: float) -> float:
        """Count the retain facts that evaluations ask."""
        return min(at_most, self.parted[2])

    def padded(self, rows: float, batch: float = math.inf) -> float:
        """Give the width of a batch of so many facts, in which all are as wide as the widest."""
        return _widest(self.lengths, rows, batch)

    @property
    def keep(self) -> int:
        """Positions of a batch of facts that are unembedded: the longest answer's."""
        return self.answers[-1]

    def widest(self, rows: float) -> float:
        """Give the width of a batch of so many general passages."""
        return _widest(self.sentences, rows)

    def begun(self, rows: float, before: float = 0.0) -> float:
        """Give the tokens that a batch of so many rows begins with and runs once."""
        shared = before + self.prefix
        return shared if shared * (rows - 1) >= least_saved(self.size.d_model) else 0

    def form(self, name: str, options: Any = None) -> Forms:
        """Say what a format makes of a fact, under the options of an evaluation that asks it."""
        if self.rendered is None:
            return Forms(0.0, 0.0, 0.0)
        given = {one: getattr(options, one) for one in HOW if hasattr(options, one)}
        return self.rendered.forms(name, {"wordings": 2} | given)

    def format(self, rows: float, name: str, options: Any = None) -> Work:
        """Ask so many facts in a format."""
        made = self.form(name, options)
        return self.ask(
            rows * made.rows, made.tokens - self.length, before=made.begun - self.prefix
        )

    def scored(self, n: float = 1.0) -> float:
        """Count the rows of a prompt whose `n` answers are scored: one for all of one token."""
        short = sum(one == 1 for one in self.answers) / len(self.answers)
        return float(n * (1 - short) + (1 - (1 - short) ** n))

    def heard(self, n: float = 2.0) -> float:
        """Count the rows of a prompt that is read, and then each longer answer behind it."""
        return 1 + n * sum(one > 1 for one in self.answers) / len(self.answers)

    def ask(
        self,
        rows: float,
        more: float = 0.0,
        batch: int = 64,
        below: int = 0,
        keep: float = 1.0,
        before: float = 0.0,
    ) -> Work:
        """Ask `rows` prompts, whose beginning those of a batch share; `more` tokens in each.

        The last `keep` positions are unembedded. Of `more`, `before` stand before all prompts.
        """
        if rows <= 0:
            return NOTHING
        batches = math.ceil(rows / batch)
        width, begun = self.padded(rows, batch) + more, self.begun(rows / batches, before)
        tokens = rows * max(1.0, width - begun) + batches * begun
        # What the rows share runs first, and then what is their own.
        passes = batches * (2 if begun else 1)
        blocks = self.size.blocks(tokens, width, self.size.n_layers - below, passes)
        return blocks + self.size.unembed(rows * keep)

    def go_on(self, rows: float, prompt: float, new: int) -> Work:
        """Read prompts and go on by one token after another, the last of which is not read."""
        if rows <= 0:
            return NOTHING
        batches, n = math.ceil(rows / 64), self.size.n_layers
        read = self.size.blocks(rows * prompt, prompt, n, batches) + self.size.unembed(rows)
        one = self.size.blocks(rows, prompt + new / 2, n, batches) + self.size.unembed(rows)
        return read + (new - 1) * one

    def spoken(self) -> Work:
        """Continue the ordinary prompts."""
        return self.go_on(len(self.begins), self.begins[-1], continuations.NEW_TOKENS)

    def passages(self, rows: float, context: float, batch: int = 16) -> Work:
        """Read general passages, every position unembedded."""
        return self.read(rows, min(context, _widest(self.sentences, rows, batch)), batch)

    def read(self, rows: float, tokens: float, batch: int = 64) -> Work:
        """Read rows of running text, every position unembedded."""
        if rows <= 0:
            return NOTHING
        blocks = self.size.blocks(
            rows * tokens, tokens, self.size.n_layers, math.ceil(rows / batch)
        )
        return blocks + self.size.unembed(rows * tokens)


def _widest(lengths: Sequence[int], rows: float, batch: float = math.inf) -> float:
    """Expect the widest of so many rows, drawn or of like width together in several batches."""
    if rows <= batch:
        return (
            lengths[round((len(lengths) - 1) * rows / (rows + 1))] if rows > 1 else fmean(lengths)
        )
    n = min(16, math.ceil(rows / batch))
    return fmean(lengths[math.ceil(len(lengths) * (i + 1) / n) - 1] for i in range(n))


def look(
    model: Model,
    facts: Sequence[Fact],
    *,
    retain: Sequence[Fact] = (),
    brought: Mapping[str, float] | None = None,
    mask: Mask | None = None,
    states: int = 1,
    changed: Sequence[int] = (),
    in_deltas: float = 0.0,
    texts: Mapping[str, int] | None = None,
) -> Scene:
    """Measure some facts' prompts, and give what the work on all of them is counted from.

    `brought` is what facts bring, where they were sent without it.
    """
    size = Size.of(model)
    some = [cut for fact in facts[:LOOKED] if (cut := _cut(model, fact))]
    ids = [row for row, _, _ in some]
    parts = [parse_component(name) for name in mask.components] if mask else []
    layers = sorted({part.layer for part in parts}) if parts else range(model.n_layers)
    return Scene(
        size=size,
        facts=len(facts),
        retain=len(retain),
        lengths=tuple(sorted(map(len, ids))) or (1,),
        answers=tuple(sorted(n for _, _, n in some)) or (1,),
        prefix=common(ids),
        before=fmean(span[0] for _, span, _ in some) if some else 0.0,
        name=fmean(span[1] - span[0] for _, span, _ in some) if some else 1.0,
        sentences=_passages(model),
        begins=_lengths_of(model, beginnings(model)),
        rendered=Renderer(model, facts, retain[:SEEN], (brought or {}).get("paraphrases", 0.0)),
        parted=_parted(retain),
        is_probed=bool(shared_answers(facts, (*facts, *retain))),
        kinds=len({a for fact in facts for a in (fact.target, fact.edit_target) if a}),
        around=brought or around(facts),
        lowest=min(layers),
        parameters=(mask and mask.n_parameters) or size.weights * size.n_layers,
        layers=tuple(layers),
        states=states,
        changed=tuple(changed),
        in_deltas=in_deltas,
        is_bundled=is_bundled(model),
        texts=texts or {},
    )


def with_own_text(scene: Scene, model: Model, options: Any) -> Scene:
    """The scene as a method sees it whose options bring ordinary text of one's own."""
    own = getattr(options, "general_text", "")
    if not own:
        return scene
    return replace(scene, sentences=_passages(model, own))


def _passages(model: Model, own: str = "") -> tuple[int, ...]:
    return _lengths_of(model, tuple(training_passages(model, own)[:SENTENCES]))


def _cut(model: Model, fact: Fact) -> tuple[tuple[int, ...], tuple[int, int], int] | None:
    """A fact's tokens up to the last that predicts, where its subject is, and how many its answer
    has; None if its subject is nowhere."""
    try:
        prompt = encode_fact(model, fact)
        answer = answer_of(model, fact)
    except UserError:  # the run leaves it out, in words
        return None
    return (*prompt.ids, *answer[:-1]), prompt.subject, len(answer)


def _parted(retain: Sequence[Fact]) -> tuple[int, int, int]:
    """Count the retain facts that are trained on, watched and tested."""
    if len(retain) > DIVIDED:
        tested = len(retain) // TESTED
        watched = (len(retain) - tested) // WATCHED
        return len(retain) - tested - watched, watched, tested
    trained, of_watched, of_tested = divide(retain)
    return len(trained), len(of_watched), len(of_tested)


@once_for_each
def _lengths_of(model: Model, lines: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(sorted(min(READ, len(model.tokenizer(line)["input_ids"])) for line in lines))
