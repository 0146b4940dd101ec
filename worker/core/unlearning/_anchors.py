"""Anchored expressions of a text: which are its own, what generic ones could stand for them.

An anchor is a name or an expression that belongs to the text (a person, a place, a made-up word).
Its counterpart is a common expression of the same type. Substitution is consistent: within one
text an anchor always becomes the same counterpart.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError

NAME = re.compile(r"\b[A-Z][\w'’-]*(?:\s+(?:of\s+|the\s+)?[A-Z][\w'’-]*)*")
COMMON = frozenset(
    re.findall(
        r"\w+",
        "The A An He She It They We You I His Her Their Its But And So Then When While If In On At "
        "By For From With After Before As This That There What Who Why How Yes No Not Every Each "
        "Once One Two Three All Some Many Most Now Here",
    )
)
COUNTERPARTS: dict[str, tuple[str, ...]] = {
    "person": ("Anna", "Peter", "Mary", "John", "Sarah", "Tom", "Emma", "David", "Laura", "Paul"),
    "group": ("the Millers", "the Smiths", "the Browns", "the Clarks"),
    "place": ("the town", "the valley", "the old city", "the harbor", "the village", "the hill"),
    "thing": ("the old book", "the ring", "the lamp", "the key", "the stone", "the clock"),
}
BEFORE_PLACE = re.compile(r"\b(?:in|at|to|from|of|near|toward|towards|through|into)\s+(?:the\s+)?$")


@dataclass(frozen=True)
class Span:
    """A stretch of a text, and of its translation; `anchor` is "" for what is left as it is."""

    start: int
    stop: int
    new_start: int
    new_stop: int
    anchor: str = ""


def propose(
    text: str, surprise: Float[Tensor, " char"] | None = None, least: int = 2
) -> dict[str, str]:
    """Propose anchors with counterparts: repeated names, those that surprise the baseline first.

    `surprise` is the baseline's −log p by character; a name must surprise it more than the text's
    mean does. The type is guessed from the word before the name.
    """
    found: Counter[str] = Counter()
    places: Counter[str] = Counter()
    surprises: dict[str, list[float]] = {}
    for match in NAME.finditer(text):
        start, words = match.start(), match[0].split()
        while words and words[0] in COMMON:
            start += len(words[0]) + 1
            words = words[1:]
        name = re.sub(r"['’]s$", "", " ".join(words))
        if not name:
            continue
        found[name] += 1
        places[name] += bool(BEFORE_PLACE.search(text[:start]))
        if surprise is not None:
            surprises.setdefault(name, []).append(float(surprise[start : match.end()].mean()))
    mean = 0.0 if surprise is None else float(surprise.mean())
    names = [n for n, count in found.most_common() if count >= least]
    names = [n for n in names if surprise is None or max(surprises[n]) > mean]
    used: Counter[str] = Counter()
    proposed = {}
    for name in names:
        kind = "place" if 2 * places[name] > found[name] else "person"
        choices = COUNTERPARTS[kind]
        proposed[name] = choices[used[kind] % len(choices)]
        used[kind] += 1
    return proposed


def parse_dictionary(text: str, field: str) -> dict[str, str]:
    """Read a dictionary of anchors from JSON; raise UserError in words."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"The dictionary is no JSON ({error}); expected an object such as "
            f'{{"Sauron": "the king"}}.',
            field=field,
        ) from None
    pairs = given.items() if isinstance(given, dict) else ()
    if not pairs or not all(isinstance(v, str) and v.strip() and k.strip() for k, v in pairs):
        raise UserError(
            "The dictionary holds no pairs of expressions; expected a JSON object whose keys are "
            "the text's own expressions and whose values are common ones.",
            field=field,
        )
    return dict(pairs)


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
