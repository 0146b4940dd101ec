"""A fact's prompt and answer as the tokens that a model reads, and how the two are joined."""

from __future__ import annotations

from collections.abc import Sequence

from worker.contract.facts import Fact
from worker.contract.joining import why_close
from worker.contract.tokens import Part, TokenChip, TokenExample
from worker.core.models.model import Model
from worker.core.models.tokens import tokenize

WAYS = 4
"""Ways of joining that are shown at most."""


def example(model: Model, fact: Fact, note: str = "") -> TokenExample:
    """Show a fact's prompt and answer as chips."""
    joint = fact.said()
    found = tokenize(model, joint)
    start = fact.prompt.index("{}")
    spans: tuple[tuple[Part, int, int], ...] = (
        ("subject", start, start + len(fact.subject)),
        ("answer", len(fact.text), len(joint)),
    )
    chips = []
    for token, (a, b) in zip(found.ids, found.offsets, strict=True):
        if b <= a:
            text = str(model.tokenizer.convert_ids_to_tokens(token))
            chips.append(TokenChip(text=text, id=token, part="special"))
        else:
            chips.append(TokenChip(text=joint[a:b], id=token, part=_part(joint, a, b, spans)))
    return TokenExample(id=fact.id, chips=tuple(chips), note=note)


def way_of(fact: Fact) -> str:
    """Say in words how a fact's answer is joined to its prompt, and by whom."""
    if fact.join:
        return f"joined as the set says: {fact.join}"
    prompt = fact.filled
    if prompt[-1:].isspace() or fact.target[:1].isspace():
        return "joined as it is written"
    why = why_close(prompt, fact.target)
    return f"no space: {why}" if why else "a space before a new word"


def seams(model: Model, facts: Sequence[Fact]) -> tuple[TokenExample, ...]:
    """Show one fact for every way in which answers are joined to prompts, the usual way first."""
    ways: dict[str, list[Fact]] = {}
    for fact in facts:
        ways.setdefault(way_of(fact), []).append(fact)
    most = sorted(ways.items(), key=lambda way: -len(way[1]))[:WAYS]
    return tuple(
        example(model, of[0], f"{len(of):,} of {len(facts):,} facts: {words}") for words, of in most
    )


def _part(joint: str, a: int, b: int, spans: Sequence[tuple[Part, int, int]]) -> Part:
    for part, start, stop in spans:
        if a < stop and b > start:
            outside = joint[a : max(a, start)] + joint[min(b, stop) : b]
            return "shared" if outside.strip() else part
    return ""
