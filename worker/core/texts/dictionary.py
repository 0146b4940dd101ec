"""The dictionary of a text: its own expressions and the common ones that stand for them.

An anchor is an expression that belongs to the text (a person, a place, a made-up word); its
counterpart is a common expression of the same type. Within one text an anchor always becomes the
same counterpart.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from worker.contract.errors import UserError
from worker.core.models.model import Model

COUNTERPARTS: dict[str, tuple[str, ...]] = {
    "person": (
        "Anna", "Peter", "Mary", "John", "Sarah", "Tom", "Emma", "David", "Laura", "Paul", "Kate",
        "James", "Ruth", "Mark", "Alice", "Henry", "Jane", "Robert", "Clara", "George", "Helen",
        "Simon", "Lucy", "Frank", "Rose", "Daniel", "Nora", "Martin", "Grace", "Walter",
    ),
    "family name": (
        "Miller", "Smith", "Brown", "Clark", "Baker", "Turner", "Cooper", "Walker", "Fisher",
        "Carter", "Mason", "Taylor",
    ),
    "place": (
        "the town", "the valley", "the old city", "the harbor", "the village", "the hill",
        "the island", "the coast", "the forest", "the castle", "the market", "the north",
        "the river", "the south", "the farm",
    ),
    "thing": (
        "object", "tool", "box", "coin", "stone", "book", "cup", "rope", "lamp", "plant", "drink",
        "game", "oil", "animal", "worker", "trade", "bird", "cloth", "wheel", "bell",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Anchor:
    """One entry that was proposed, and why."""

    expression: str
    kind: str
    """A type of COUNTERPARTS."""
    counterpart: str
    times: int
    surprise: float
    """Mean −log p (nats) that the baseline gives it where it first stands."""
    mark: float
    """Mean rise of its log p (nats) by reinforcing, over all its places."""


@dataclass(frozen=True)
class Span:
    """A stretch of a text, and of its translation; `anchor` is "" for what is left as it is."""

    start: int
    stop: int
    new_start: int
    new_stop: int
    anchor: str = ""


def parse_dictionary(text: str, field: str) -> dict[str, str]:
    """Read a dictionary of anchors from JSON; raise UserError in words."""
    pairs = _object(text, field, '{"Merrin": "Anna"}')
    if not pairs or not all(isinstance(v, str) and v.strip() and k.strip() for k, v in pairs):
        raise UserError(
            "The dictionary holds no pairs of expressions; expected a JSON object whose keys are "
            "the text's own expressions and whose values are common ones.",
            field=field,
        )
    for expression, counterpart in pairs:
        if expression == counterpart:
            raise UserError(
                f"The dictionary turns {expression!r} into itself; expected another expression. "
                f"Take it out, or give it a common counterpart.",
                field=field,
            )
    return dict(pairs)


def parse_counterparts(text: str, field: str) -> dict[str, tuple[str, ...]]:
    """Read lists of counterparts by type; types that are not given keep their own list."""
    found = dict(COUNTERPARTS)
    if not text.strip():
        return found
    for kind, words in _object(text, field, '{"person": ["Anna", "Peter"]}'):
        if kind not in COUNTERPARTS:
            raise UserError(
                f"{kind!r} is no type of expression; expected {', '.join(COUNTERPARTS)}.",
                field=field,
            )
        listed = isinstance(words, list) and all(isinstance(w, str) and w.strip() for w in words)
        if not listed or not words:
            raise UserError(
                f"The counterparts of {kind!r} are {words!r}; expected a list of expressions.",
                field=field,
            )
        found[kind] = tuple(dict.fromkeys(words))
    return found


def _object(text: str, field: str, example: str) -> list[tuple[str, Any]]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"This is no JSON ({error}); expected an object such as {example}.", field=field
        ) from None
    if not isinstance(given, dict):
        raise UserError(
            f"This is a JSON {type(given).__name__}; expected an object such as {example}.",
            field=field,
        )
    return list(given.items())


def translate(text: str, dictionary: dict[str, str]) -> tuple[str, list[Span]]:
    """Put every anchor's counterpart in its place, longest anchors first; say what went where."""
    if not dictionary:
        return text, [Span(0, len(text), 0, len(text))]
    longest = sorted(dictionary, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(a)}(?!\w)" for a in longest))
    pieces: list[str] = []
    spans: list[Span] = []
    at = new = 0
    for match in pattern.finditer(text):
        for piece, stop, anchor in (
            (text[at : match.start()], match.start(), ""),
            (dictionary[match[0]], match.end(), match[0]),
        ):
            spans.append(Span(at, stop, new, new + len(piece), anchor))
            pieces.append(piece)
            at, new = stop, new + len(piece)
    spans.append(Span(at, len(text), new, new + len(text) - at))
    return "".join(pieces) + text[at:], spans


def align(
    spans: list[Span], offsets: list[tuple[int, int]], new_offsets: list[tuple[int, int]]
) -> list[int]:
    """Map each token of a text to the token of its translation that ends where it ends; else −1.

    Inside an anchor only its last token has a place: the last of the counterpart.
    """
    ends = {stop: i for i, (start, stop) in enumerate(new_offsets) if stop > start}
    mapped = []
    for i, (start, stop) in enumerate(offsets):
        if stop == start:  # a token that the tokenizer adds stands at the same place in both
            mapped.append(i if i < len(new_offsets) and new_offsets[i] == (start, stop) else -1)
            continue
        span = next(s for s in spans if s.start < stop <= s.stop)
        if span.anchor:
            mapped.append(ends.get(span.new_stop, -1) if stop == span.stop else -1)
        else:
            mapped.append(ends.get(stop - span.start + span.new_start, -1))
    return mapped


def first_tokens(model: Model, expression: str) -> tuple[int, ...]:
    """List the tokens with which an expression may begin: at a text's start and after a space."""
    starts = (expression, f" {expression}")
    encoded = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in starts]
    return tuple(dict.fromkeys(ids[0] for ids in encoded if ids))
