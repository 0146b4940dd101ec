"""How a model's tokenizer cuts a fact set, before any run: counts over all, chips of a few.

1. Cut every prompt, and every prompt with its answers behind it, in batches. 2. Find subject and
answer by character offsets, with the same functions that every method uses, so that what is refused
here is what they refuse. 3. Ask the model for a small sample, for a first look at what it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.tokens import FactTokens, TokenFinding
from worker.core.ahead.chips import example, way_of
from worker.core.ahead.token_words import WORDS
from worker.core.asking.known import spread
from worker.core.asking.scoring import score_answers
from worker.core.models.model import Model
from worker.core.models.prompts import answer_of, check_subject, cut_at_once, pairs
from worker.core.models.tokens import tokenize

CHUNK = 2_000
"""Facts that are cut together."""
EXAMPLES = 4
SAMPLES = 6
ASKED = 64
"""Facts that the model is asked for: a fraction of a second on the bundled model."""
KNOWN = 0.1
"""Probability below which localization leaves a fact out by default."""


@dataclass
class _Found:
    """What was found of all facts so far."""

    kinds: dict[str, list[tuple[Fact, str]]] = field(default_factory=dict)
    usable: list[Fact] = field(default_factory=list)
    first: dict[int, dict[str, list[Fact]]] = field(default_factory=dict)
    """First token of the answer -> answers that begin with it -> facts."""
    n_tokens: int = 0
    longest: int = 0

    def add(self, kind: str, fact: Fact, note: str = "") -> None:
        self.kinds.setdefault(kind, []).append((fact, note))


@dataclass(frozen=True)
class _Added:
    """Tokens that no text should have; asked for once, because a tokenizer takes long to say."""

    start: int | None
    unknown: int | None


def look_at_tokens(model: Model, facts: Sequence[Fact]) -> FactTokens:
    """Cut every fact as `model` reads it, and say what that does to its use."""
    found, added = _Found(), _Added(model.tokenizer.bos_token_id, model.tokenizer.unk_token_id)
    for chunk in _chunks(facts):
        with cut_at_once(model, chunk):
            for fact in chunk:
                _look(model, fact, found, added)
    for answers in found.first.values():
        if len(answers) > 1:
            words = ", ".join(repr(one) for one in list(answers)[:4])
            for fact in (one for facts in answers.values() for one in facts):
                found.add("shared_first", fact, f"shared by {words}")
    n_asked = _ask(model, found)
    return FactTokens(
        model=model.id,
        weights_hash=model.weights_hash,
        n_facts=len(facts),
        n_usable=len(found.usable),
        mean_tokens=found.n_tokens / max(1, len(facts)),
        longest=found.longest,
        findings=tuple(_findings(model, found, len(facts), n_asked)),
        samples=tuple(example(model, fact) for fact in spread(found.usable, SAMPLES)),
    )


def _chunks(facts: Sequence[Fact]) -> Iterator[Sequence[Fact]]:
    for start in range(0, len(facts), CHUNK):
        yield facts[start : start + CHUNK]


def _look(model: Model, fact: Fact, found: _Found, added: _Added) -> None:
    whole = tokenize(model, fact.said()).ids
    found.n_tokens += len(whole)
    found.longest = max(found.longest, len(whole))
    _look_at_text(fact, whole, found, added)
    try:
        if len(whole) > model.max_positions:
            found.add("long", fact, f"{len(whole)} tokens of at most {model.max_positions}")
            return
        kind = "subject"
        check_subject(model, fact)
        kind = "joined"
        answer = answer_of(model, fact)
        edit = answer_of(model, fact, fact.edit_target) if fact.edit_target.strip() else ()
    except UserError as error:
        found.add(kind, fact, error.message)
        return
    found.usable.append(fact)
    if len(answer) > 1:
        found.add("several", fact, f"{len(answer)} tokens")
    if edit and edit[0] == answer[0]:
        found.add("same_first", fact, f"{fact.target!r} and {fact.edit_target!r}")
    found.first.setdefault(answer[0], {}).setdefault(fact.target, []).append(fact)


def _look_at_text(fact: Fact, ids: list[int], found: _Found, added: _Added) -> None:
    """What can be seen without finding subject and answer."""
    start, unknown = added.start, added.unknown
    if start is not None and ids[:-1].count(start) > 1 and start != unknown:
        found.add("start", fact)
    if fact.join or fact.filled[-1:].isspace():
        found.add("written", fact, way_of(fact))
    elif not fact.is_apart:
        found.add("close", fact, way_of(fact))
    if unknown is not None and unknown in ids:
        found.add("unreadable", fact)


def _ask(model: Model, found: _Found) -> int:
    """Ask for a sample spread over the set, and note what the model hardly says."""
    asked = spread(found.usable, ASKED)
    if not asked:
        return 0
    with cut_at_once(model, asked):
        scores = score_answers(model, pairs(asked))
    for fact, probability in zip(asked, scores.first_log_prob.exp().tolist(), strict=True):
        if probability < KNOWN:
            found.add("unknown", fact, f"probability {probability:.3f}")
    return len(asked)


def _findings(model: Model, found: _Found, n_facts: int, n_asked: int) -> Iterator[TokenFinding]:
    for kind, words in WORDS.items():
        facts = found.kinds.get(kind, [])
        if facts:
            yield TokenFinding(
                kind=kind,
                title=words.title,
                explanation=words.explanation,
                cure=words.cure,
                severity=words.severity,
                n_facts=len(facts),
                n_asked=n_asked if kind == "unknown" else n_facts,
                examples=tuple(example(model, fact, note) for fact, note in facts[:EXAMPLES]),
            )
