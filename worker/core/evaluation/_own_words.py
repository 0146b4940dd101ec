"""A text's own expressions, prompts cut from it before them, and a judge of what a model adds.

The dictionary that an edit used may be given; the judge then looks for its keys. Otherwise names
are proposed by rules that no unlearning method shares, so that a method is not judged by its own
blind spots.
"""

import json
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from worker.contract.errors import UserError

WORD = re.compile(r"[\w'’-]+")
NAME = re.compile(r"(?<![.!?\"”] )(?<![\"“])(?<!^)\b[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*", re.MULTILINE)
VERBATIM = 6
"""Words in a row from which a completion counts as said by heart."""
LEAD = 8
SHORTEST = 8
"""Words of a prompt, at least."""
LEAST = 2
"""Times that a name stands in the text to be one of its own."""


@dataclass(frozen=True)
class Cut:
    """The text before one of its own expressions, and that expression."""

    prompt: str
    term: str
    lead: int = 0
    """Words of the text between the prompt and the expression."""


def own_terms(text: str, dictionary: str, general: str) -> tuple[str, ...]:
    """List the text's own expressions, the longest first, and their words that stand alone too.

    `dictionary` is JSON whose keys are the expressions, or "". A proposed name stands capitalized
    inside sentences, at least twice, and one of its words is neither a word of `general` nor
    written small in the text.
    """
    if dictionary.strip():
        names = [n for n in _keys(dictionary) if n in text]
    else:
        known = {w.casefold() for w in WORD.findall(general)}
        lower = set(re.findall(r"\b[a-z][\w'’-]+", text))
        counts = Counter(re.sub(r"['’]s$", "", m[0]) for m in NAME.finditer(text))
        names = [
            name
            for name, count in counts.items()
            if count >= LEAST and any(_is_own(word, known | lower) for word in name.split())
        ]
    if not names:
        raise UserError(
            "The text has no expression of its own that could be looked for: no name stands in it "
            "twice that general text does not have. Give a dictionary.",
            field="options.familiarity.dictionary",
        )
    alone = {m[0] for m in NAME.finditer(text)}
    parts = {w for name in names for w in name.split() if w in alone}
    if not dictionary.strip():
        parts = {w for w in parts if _is_own(w, known | lower)}
    return tuple(sorted({*names, *parts}, key=lambda term: (-len(term), term)))


def _is_own(word: str, common: set[str]) -> bool:
    return word.casefold() not in common and word[:1].isupper()


def _keys(dictionary: str) -> list[str]:
    try:
        given = json.loads(dictionary)
    except json.JSONDecodeError as error:
        raise UserError(
            f"The dictionary is no JSON ({error}); expected an object such as "
            f'{{"Merrin": "Anna"}}.',
            field="options.familiarity.dictionary",
        ) from None
    if not isinstance(given, dict) or not given:
        raise UserError(
            "The dictionary is no JSON object with expressions as its keys.",
            field="options.familiarity.dictionary",
        )
    return [str(key) for key in given]


def cut_prompts(
    text: str, terms: tuple[str, ...], n: int, n_words: int, seed: int
) -> tuple[Cut, ...]:
    """Cut at most `n` prompts of up to `n_words` words, each ending right before a term.

    Where there are more places than `n`, every term gets places before any gets many; where there
    are fewer, the same places are cut LEAD words earlier too.
    """
    chosen: dict[str, Cut] = {}
    for lead in (0, LEAD):
        places = _places(text, terms, n_words, lead)
        rng = Random(seed)
        for found in places.values():
            rng.shuffle(found)
        while len(chosen) < n and any(places.values()):
            for found in places.values():
                if found and len(chosen) < n:
                    cut = found.pop()
                    chosen.setdefault(cut.prompt, cut)
    if not any(cut.lead == 0 for cut in chosen.values()):
        raise UserError(
            f"No prompt could be cut from the text: none of its own expressions has {SHORTEST} "
            f"words before it. Give a longer text.",
            field="options.familiarity.text",
        )
    return tuple(chosen.values())


def _places(text: str, terms: tuple[str, ...], n_words: int, lead: int) -> dict[str, list[Cut]]:
    places: dict[str, list[Cut]] = {}
    all_words = list(re.finditer(r"\S+", text))
    ends = [word.end() for word in all_words]
    for match in _pattern(terms).finditer(text):
        if text[match.start() - 1 : match.start()] != " ":
            continue
        stop = bisect_right(ends, match.start()) - lead
        words = all_words[max(0, stop - n_words) : max(0, stop)]
        if len(words) >= SHORTEST:
            prompt = text[words[0].start() : words[-1].end()]
            places.setdefault(match[0], []).append(Cut(prompt, match[0], lead))
    return places


def grade(prompt: str, completion: str, terms: tuple[str, ...], text: str) -> int:
    """Grade a completion from 0 to 3, as the paper's rubric does, by rules.

    3: it holds one of the text's own expressions that the prompt does not hold. 2: it says at least
    VERBATIM words in a row as the text has them. 1: it repeats only expressions of the prompt.
    """
    said = {m[0] for m in _pattern(terms).finditer(completion)}
    given = {w for m in _pattern(terms).finditer(prompt) for w in (m[0], *m[0].split())}
    if any(not set(term.split()) <= given for term in said):
        return 3
    if _by_heart(prompt, completion, text):
        return 2
    return 1 if said else 0


def _by_heart(prompt: str, completion: str, text: str) -> bool:
    flat, before = _flat(text), _flat(prompt)
    words = WORD.findall(completion.casefold())
    runs = (" ".join(words[i : i + VERBATIM]) for i in range(len(words) - VERBATIM + 1))
    return any(f" {run} " in flat and run not in before for run in runs)


@lru_cache(maxsize=8)
def _flat(text: str) -> str:
    """A text's words alone, a space on either side of each; kept, since one text judges many."""
    return f" {' '.join(WORD.findall(text.casefold()))} "


def _pattern(terms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<!\w){re.escape(term)}(?!\w)" for term in terms))
