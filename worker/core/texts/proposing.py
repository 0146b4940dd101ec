"""Propose a text's dictionary, as the paper lets GPT-4 do it: here by three signs.

1. Candidates: names (capitalized words that are not common ones; a single word must stand inside a
   sentence at least once, and not far more often small than that), and other words of five letters
   or more that are no function words of English ("about", "nothing"), which carry no text's own
   meaning however they surprise. After "he said, " a sentence begins.
2. Kept, where they stand in the text more than once: names that surprise the baseline somewhere
   more than the text's mean token does, or whose log p reinforcing raises more than the mean; of
   other words those whose log p reinforcing raises so and that, where they first stand, surprise
   the baseline as no common word does: by two standard deviations more than the mean of all these
   words.
3. Types: a name after "in", "to", "from", … is a place, other names are persons, the last word of a
   person's name that others share is a family name; words that are no names are things. Each takes
   the next unused counterpart of its type.
4. A longer name whose words are all anchors by themselves is left out: its words are replaced. One
   that is a name with a title ("LORD God", where God stands alone more often) shares the name's
   counterpart, and so does a name with the article that it mostly has ("the LORD God").
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

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
OFTEN = 10
SPEECH = re.compile(
    r"\b(?:said|saying|says?|saith|spake|spoke|speaking|answer(?:ed|ing)|asked|asking|cried|crying|"
    r"called|replied|whispered|shouted|told|commanded)\b[^.!?;:]*, $"
)
"""What stands before speech that a capital alone sets apart, as in the King James Bible."""
_SKIPPED = re.compile(r"(\S+)(?:\s+|$)")
_ARTICLE = re.compile(r"\b([Tt]he) $")
BEFORE_PLACE = re.compile(r"\b(?:in|at|to|from|of|near|toward|towards|through|into)\s+(?:the\s+)?$")


@dataclass
class _Seen:
    """Where one candidate stands."""

    kind: str
    places: list[tuple[int, int]] = field(default_factory=list)
    after_place_word: int = 0
    articles: Counter[str] = field(default_factory=Counter)
    """How often it has which article before it."""


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
    if surprise is not None and marks is not None:
        for word, one in _odd_words(text, surprise, least).items():
            if _mean(one, marks) > _up(marks):
                kept[word] = (one, _strength(one, surprise), _mean(one, marks))
    simple = {e for e in kept if " " not in e}
    order = sorted(kept, key=lambda e: -len(kept[e][0].places))
    times = {e: len(one.places) for e, (one, _, _) in kept.items()}
    choose = _Choosing(counterparts, _family_names(times), _titled(times))
    anchors: list[Anchor] = []
    for expression in sorted(order, key=lambda e: len(e.split())):
        if expression not in choose.titled and set(expression.split()) <= simple - {expression}:
            continue
        one, first, mark = kept[expression]
        kind, counterpart = choose.take(expression, one.kind)
        for variant, n in _variants(expression, kind, one):
            anchors.append(Anchor(variant, kind, counterpart, n, first, mark))
    return sorted(anchors, key=lambda a: order.index(re.sub(r"^[Tt]he ", "", a.expression)))


class _Choosing:
    """Hands out counterparts: each of a type once, and a known first name keeps its own."""

    def __init__(
        self,
        counterparts: Mapping[str, tuple[str, ...]],
        families: set[str],
        titled: Mapping[str, str],
    ) -> None:
        self.counterparts, self.families, self.titled = counterparts, families, titled
        self.used: dict[str, int] = defaultdict(int)
        self.given: dict[str, str] = {}

    def take(self, expression: str, kind: str) -> tuple[str, str]:
        if kind == "person" and expression in self.families:
            kind = "family name"
        first, _, rest = expression.partition(" ")
        if self.titled.get(expression) in self.given:
            words = self.given[self.titled[expression]]
        elif kind == "person" and rest and first in self.given:
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
    """Find names and where they stand; what is capitalized only to begin a sentence is none."""
    ordinary = _ordinary_words(text)
    found: dict[str, _Seen] = {}
    inside: set[str] = set()
    for match in NAME.finditer(text):
        start, words = match.start(), match[0]
        while words and (skipped := _SKIPPED.match(words)) and _may_go(skipped[1], ordinary):
            start, words = start + skipped.end(), words[skipped.end() :]
        name = re.sub(r"['’]s$", "", " ".join(words.split()))
        if not name or name in ordinary:
            continue
        one = found.setdefault(name, _Seen("person"))
        one.places.append((start, start + len(name)))
        one.after_place_word += bool(BEFORE_PLACE.search(text[max(0, start - 20) : start]))
        if article := _ARTICLE.search(text[max(0, start - 4) : start]):
            one.articles[article[1]] += 1
        if " " in name or not _begins(text, start):
            inside.add(name)
    for one in found.values():
        if 2 * one.after_place_word > len(one.places):
            one.kind = "place"
    return {name: one for name, one in found.items() if name in inside}


def _may_go(word: str, ordinary: frozenset[str]) -> bool:
    """Whether a first word is no part of the name that follows it."""
    return word in COMMON or word in ordinary or word in ("the", "of")


def _ordinary_words(text: str) -> frozenset[str]:
    """Capitalized words that stand small elsewhere OFTEN times as often as large inside a sentence.

    By far more often, because Will and Rose are names in texts full of will and rose.
    """
    small: Counter[str] = Counter(re.findall(r"\b[a-z][\w'’-]*", text))
    inside: Counter[str] = Counter()
    words: set[str] = set()
    for match in re.finditer(r"\b[A-Z][\w'’-]*", text):
        words.add(match[0])
        inside[match[0]] += not _begins(text, match.start())
    return frozenset(word for word in words if small[word.lower()] > OFTEN * inside[word])


def _begins(text: str, start: int) -> bool:
    """Whether a word at `start` begins a sentence, or what somebody says."""
    before = text[max(0, start - 80) : start]
    return not INSIDE.search(before) or bool(SPEECH.search(before))


def _odd_words(text: str, surprise: Float[np.ndarray, " char"], least: int) -> dict[str, _Seen]:
    """Find words that are no names and surprise where they first stand, summed over the word."""
    # Imported here because it takes a second and brings pandas, and few texts are proposed for.
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

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


def _family_names(times: Mapping[str, int]) -> set[str]:
    """Find single names that end longer ones: Oskavale of Merrin Oskavale.

    One that stands alone more often than with others is a name of its own, and what stands before
    it a title: God of LORD God.
    """
    lasts = {name.split()[-1] for name in times if " " in name}
    firsts = {name.split()[0] for name in times if " " in name}
    return {
        name
        for name in times
        if " " not in name and name in lasts - firsts and times[name] <= _with_others(name, times)
    }


def _titled(times: Mapping[str, int]) -> dict[str, str]:
    """Map names with a title to the names without: LORD God to God."""
    found = {}
    for name in times:
        last = name.split()[-1]
        if last != name and times.get(last, 0) > _with_others(last, times):
            found[name] = last
    return found


def _with_others(last: str, times: Mapping[str, int]) -> int:
    return sum(n for name, n in times.items() if name != last and name.split()[-1] == last)


def _variants(expression: str, kind: str, one: _Seen) -> list[tuple[str, int]]:
    """An expression, and with the articles that a person's name has not; each as often as it is."""
    n, n_articles = len(one.places), one.articles.total()
    if kind != "person" or 2 * n_articles <= n:
        return [(expression, n)]
    plain = [(expression, n - n_articles)] if n > n_articles else []
    return [*plain, *((f"{article} {expression}", k) for article, k in one.articles.items())]


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
