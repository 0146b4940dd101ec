"""Propose a text's dictionary, as the paper lets GPT-4 do it: here by three signs.

1. Candidates: names (capitalized words that are not common ones; a single word must stand inside a
   sentence at least once), and other words of five letters or more that are no function words of
   English ("about", "nothing"), which carry no text's own meaning however they surprise.
2. Kept, where they stand in the text more than once: names that surprise the baseline somewhere
   more than the text's mean token does, or whose log p reinforcing raises more than the mean; of
   other words those that, where they first stand, surprise it as no common word does: by two
   standard deviations more than the mean of all these words.
3. Types: a name after "in", "to", "from", … is a place, other names are persons, the last word of a
   person's name that others share is a family name; words that are no names are things. Each takes
   the next unused counterpart of its type.
4. A longer name whose words are all anchors by themselves is left out: its words are replaced.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from worker.core.texts.dictionary import COUNTERPARTS, Anchor

NAME = re.compile(r"\b[A-Z][\w'’-]*(?:\s+(?:of\s+|the\s+)?[A-Z][\w'’-]*)*")
WORD = re.compile(r"\b[a-z][a-z'’-]{4,}\b")
COMMON = frozenset(
    re.findall(
        r"\w+",
        "The A An He She It They We You I His Her Their Its But And So Then When While If In On At "
        "By For From With After Before As This That There What Who Why How Yes No Not Every Each "
        "Once One Two Three All Some Many Most Now Here Chapter Four Five Six Seven Eight Nine Ten "
        "Eleven Twelve Only Even Between Under Over Everyone Everything Nobody Nothing Someone",
    )
)
"""Words that begin sentences. Not the list of function words that `_odd_words` leaves out: that one
has Bill and Will, which are names."""
INSIDE = re.compile(r"[a-z,;] $")
"""What stands before a word inside a sentence."""
BEFORE_PLACE = re.compile(r"\b(?:in|at|to|from|of|near|toward|towards|through|into)\s+(?:the\s+)?$")


@dataclass
class _Seen:
    """Where one candidate stands."""

    kind: str
    places: list[tuple[int, int]] = field(default_factory=list)
    after_place_word: int = 0


def propose(
    text: str,
    surprise: Float[np.ndarray, " char"] | None = None,
    marks: Float[np.ndarray, " char"] | None = None,
    counterparts: Mapping[str, tuple[str, ...]] = COUNTERPARTS,
    least: int = 2,
) -> list[Anchor]:
    """Propose anchors with counterparts, the most frequent first.

    `surprise` is the baseline's −log p and `marks` its rise by reinforcing, both by character.
    Without them every repeated name is proposed, and no other word.
    """
    seen = {e: s for e, s in _names(text).items() if len(s.places) >= least}
    kept = {}
    for expression, one in seen.items():
        first, mark = _strength(one, surprise), _mean(one, marks)
        if surprise is None or first > surprise.mean() or (marks is not None and mark > _up(marks)):
            kept[expression] = (one, first, mark)
    if surprise is not None:
        for word, one in _odd_words(text, surprise, least).items():
            kept[word] = (one, _strength(one, surprise), _mean(one, marks))
    simple = {e for e in kept if " " not in e}
    order = sorted(kept, key=lambda e: -len(kept[e][0].places))
    anchors: list[Anchor] = []
    choose = _Choosing(counterparts, _family_names(list(kept)))
    for expression in sorted(order, key=lambda e: len(e.split())):
        if " " in expression and set(expression.split()) <= simple:
            continue
        one, first, mark = kept[expression]
        kind, counterpart = choose.take(expression, one.kind)
        anchors.append(Anchor(expression, kind, counterpart, len(one.places), first, mark))
    return sorted(anchors, key=lambda a: order.index(a.expression))


class _Choosing:
    """Hands out counterparts: each of a type once, and a known first name keeps its own."""

    def __init__(self, counterparts: Mapping[str, tuple[str, ...]], families: set[str]) -> None:
        self.counterparts, self.families = counterparts, families
        self.used: dict[str, int] = defaultdict(int)
        self.given: dict[str, str] = {}

    def take(self, expression: str, kind: str) -> tuple[str, str]:
        if kind == "person" and expression in self.families:
            kind = "family name"
        first, _, rest = expression.partition(" ")
        if kind == "person" and rest and first in self.given:
            words = f"{self.given[first]} {self._next('family name')}"
        else:
            words = self._next(kind)
        self.given[expression] = words
        return kind, words

    def _next(self, kind: str) -> str:
        """Take the next of a type; past the list's end a number is added, to stay apart."""
        choices, n = self.counterparts[kind], self.used[kind]
        self.used[kind] += 1
        turn, place = divmod(n, len(choices))
        return choices[place] if not turn else f"{choices[place]} {turn + 1}"


def _names(text: str) -> dict[str, _Seen]:
    found: dict[str, _Seen] = {}
    inside: set[str] = set()
    for match in NAME.finditer(text):
        start, words = match.start(), match[0].split()
        while words and words[0] in COMMON:
            start += len(words[0]) + 1
            words = words[1:]
        name = re.sub(r"['’]s$", "", " ".join(words))
        if name:
            one = found.setdefault(name, _Seen("person"))
            one.places.append((start, start + len(name)))
            one.after_place_word += bool(BEFORE_PLACE.search(text[max(0, start - 20) : start]))
            if " " in name or INSIDE.search(text[max(0, start - 2) : start]):
                inside.add(name)
    for one in found.values():
        if 2 * one.after_place_word > len(one.places):
            one.kind = "place"
    return {name: one for name, one in found.items() if name in inside}


def _odd_words(text: str, surprise: Float[np.ndarray, " char"], least: int) -> dict[str, _Seen]:
    """Find words that are no names and surprise where they first stand, summed over the word."""
    found: dict[str, _Seen] = {}
    for match in WORD.finditer(text):
        word = re.sub(r"['’]s$", "", match[0])
        if word in ENGLISH_STOP_WORDS:
            continue
        place = (match.start(), match.start() + len(word))
        found.setdefault(word, _Seen("thing")).places.append(place)
    sums = {w: float(surprise[slice(*one.places[0])].sum()) for w, one in found.items()}
    if not sums:
        return {}
    values = np.array(list(sums.values()))
    bar = values.mean() + 2 * values.std()
    return {w: one for w, one in found.items() if len(one.places) >= least and sums[w] > bar}


def _family_names(names: list[str]) -> set[str]:
    """Find single names that end longer ones: Oskavale of Merrin Oskavale."""
    lasts = {name.split()[-1] for name in names if " " in name}
    firsts = {name.split()[0] for name in names if " " in name}
    return {name for name in names if " " not in name and name in lasts - firsts}


def _strength(one: _Seen, surprise: Float[np.ndarray, " char"] | None) -> float:
    """Average the surprise of the place that surprises most: later ones are known from context."""
    if surprise is None:
        return 0.0
    return max(float(surprise[a:b].mean()) for a, b in one.places)


def _mean(one: _Seen, marks: Float[np.ndarray, " char"] | None) -> float:
    if marks is None:
        return 0.0
    return float(np.mean([marks[a:b].mean() for a, b in one.places]))


def _up(marks: Float[np.ndarray, " char"]) -> float:
    """Average the rises alone."""
    return float(np.clip(marks, 0, None).mean())
