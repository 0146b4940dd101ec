"""Where a subject stands in a prompt: as a whole word, once, or nobody has said which.

1. Whole words come first: `Rome` in "Romeo lives in Rome" is the last word. A possessive or a case
   ending behind an apostrophe (`Rome's`), an elision before (`l'Italie`), and a Korean particle
   belong to the sentence, not to the name.
2. Where none is whole, the parts of a word with a hyphen or an apostrophe are looked at (`Anne` in
   `Anne-Marie`); whether one is meant has to be said.
3. Where several are, which is meant has to be said: `first`, `last`, or its number.
4. Where the subject is written otherwise (accents composed or not, a capital at the sentence's
   beginning, the other apostrophe), the prompt's spelling is taken.
5. Inside other words, and with other case, it does not stand: refused with what stands there.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from worker.contract.words import is_boundary

OCCURRENCE = (
    "Which whole word is the subject, where it stands several times in a whole prompt: first, last "
    "or its number (=last is for every row). Optional: without it, such rows are refused."
)
"""What the column `occurrence` says."""
_HYPHENS = "-‐‑"
_APOSTROPHES = "'’ʼ"
_NOT_POSSESSIVE = frozenset({"t", "re", "ve", "ll", "d", "m"})
_ENDING = re.compile(rf"[{_APOSTROPHES}](?:(s)|(\w{{1,3}}))(?!\w)")
_ELISION = re.compile(rf"(?<!\w)(?:[cdjlmnst]|qu|un|\w*ll)[{_APOSTROPHES}]\Z", re.IGNORECASE)
_OPENS = re.compile(r"(?:\A|[.!?:¿¡]|\n)[\s\"'“‘(«]*\Z")
"""Before the first word of a sentence."""
_PARTICLE = re.compile(
    "(?:은|는|이|가|을|를|의|에|와|과|도|로|만|에서|에게|으로|부터|까지|처럼|보다|하고|이며|라는|이라는|이다)(?!\\w)"
)
_HANGUL = re.compile("[\uac00-\ud7a3]")
_NUMBER = re.compile(r"[1-9]\d{0,3}")
_SHOWN = 24
"""Characters on either side of an occurrence that are shown."""


class Ambiguous(ValueError):
    """A subject could be meant at several places, or only as a part of a word."""


@dataclass(frozen=True)
class Found:
    """Where a subject stands, as the prompt spells it."""

    start: int
    subject: str
    note: str = ""
    """What a reader should know of how it was found."""

    @property
    def stop(self) -> int:
        return self.start + len(self.subject)


def find_subject(prompt: str, subject: str, which: str = "") -> Found:
    """Find the subject in a whole prompt; `which` is first, last or a number among several.

    Raises ValueError in words where it does not stand there, and Ambiguous where nobody said which
    is meant.
    """
    spelled, places = _spelled(prompt, subject)
    whole = [at for at in places if _is_whole(prompt, at, at + len(spelled))]
    parts = [at for at in places if _is_part(prompt, at, at + len(spelled))]
    chosen, of_words = (whole, bool(whole)) if whole else (parts, False)
    if not chosen:
        raise ValueError(_nowhere(prompt, subject, spelled, places))
    if which:
        at = _counted(chosen, which, subject)
    elif len(chosen) > 1 or not of_words:
        raise Ambiguous(_which(prompt, spelled, chosen, of_words))
    else:
        at = chosen[0]
    found = Found(at, spelled)
    return Found(at, spelled, _note(prompt, subject, found, len(places), len(chosen)))


def read_which(text: str) -> str:
    """Read which occurrence is meant; ValueError for what is none of the words for it."""
    plain = text.strip().lower()
    if plain in ("", "first", "last") or _NUMBER.fullmatch(plain):
        return plain
    raise ValueError(f"occurrence is {text[:40]!r}; expected first, last or a number from 1")


def marked(prompt: str, found: Found) -> str:
    """Show the place in its surroundings, between angle quotes."""
    left, right = prompt[: found.start], prompt[found.stop :]
    before = left if len(left) <= _SHOWN else f"…{left[-_SHOWN:]}"
    after = right if len(right) <= _SHOWN else f"{right[:_SHOWN]}…"
    return f"{before}‹{found.subject}›{after}"


def _all(prompt: str, subject: str) -> list[int]:
    found, at = [], prompt.find(subject)
    while at >= 0:
        found.append(at)
        at = prompt.find(subject, at + 1)
    return found


def _spelled(prompt: str, subject: str) -> tuple[str, list[int]]:
    """The subject as the prompt spells it, and its places."""
    for spelled in _spellings(subject):
        if places := _all(prompt, spelled):
            return spelled, places
    large = subject[:1].upper() + subject[1:]
    if places := [at for at in _all(prompt, large) if _OPENS.search(prompt[:at])]:
        return large, places
    return subject, []


def _spellings(subject: str) -> Iterator[str]:
    """The subject, and what is the same name written otherwise anywhere in a sentence."""
    yield subject
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, subject)
    yield subject.replace("'", "’")
    yield subject.replace("’", "'")
    if " " in subject:  # with an article, as in "The Beatles"
        yield subject[:1].lower() + subject[1:]


def _is_bounded(prompt: str, start: int, stop: int) -> bool:
    """Whether no letter touches the span, but for a particle's."""
    if not is_boundary(prompt, start):
        return False
    if is_boundary(prompt, stop):
        return True
    return bool(_HANGUL.match(prompt[stop - 1]) and _PARTICLE.match(prompt, stop))


def _is_whole(prompt: str, start: int, stop: int) -> bool:
    return _is_bounded(prompt, start, stop) and not _is_tied(prompt, start, stop)


def _is_part(prompt: str, start: int, stop: int) -> bool:
    return _is_bounded(prompt, start, stop) and _is_tied(prompt, start, stop)


def _is_tied(prompt: str, start: int, stop: int) -> bool:
    """Whether a hyphen or an apostrophe ties the span to a word beside it."""
    if _ties(prompt[start - 2 : start][::-1] if start > 1 else ""):
        is_elided = prompt[start - 1] in _APOSTROPHES and _ELISION.search(prompt[:start])
        if not is_elided:
            return True
    if not _ties(prompt[stop : stop + 2]):
        return False
    ending = _ENDING.match(prompt, stop)
    return ending is None or (not ending[1] and ending[2] in _NOT_POSSESSIVE)


def _ties(pair: str) -> bool:
    return len(pair) == 2 and pair[0] in _HYPHENS + _APOSTROPHES and pair[1].isalnum()


def _counted(chosen: list[int], which: str, subject: str) -> int:
    if which in ("first", "last"):
        return chosen[0 if which == "first" else -1]
    if int(which) > len(chosen):
        times = "once" if len(chosen) == 1 else f"{len(chosen)} times"
        raise ValueError(
            f"occurrence is {which}, and the subject {subject!r} stands {times} in its prompt"
        )
    return chosen[int(which) - 1]


def _which(prompt: str, subject: str, chosen: list[int], of_words: bool) -> str:
    shown = "; ".join(
        f"{i}: {marked(prompt, Found(at, subject))}" for i, at in enumerate(chosen[:5], 1)
    )
    where = f"{len(chosen)} times in" if of_words else "only as a part of a longer word in"
    return (
        f"the subject {subject!r} stands {where} its prompt ({shown}); say which is meant: put "
        f"{{}} there, or give the column occurrence: first, last or its number"
    )


def _nowhere(prompt: str, subject: str, spelled: str, inside: list[int]) -> str:
    if inside:
        words = dict.fromkeys(_word_around(prompt, at, at + len(spelled)) for at in inside)
        return (
            f"the subject {subject!r} stands nowhere as a word in its prompt, only inside "
            f"{', '.join(map(repr, list(words)[:4]))}; expected it as a word, or {{}} where it is"
        )
    other = re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", prompt, re.IGNORECASE)
    if other is not None:
        return (
            f"the subject {subject!r} stands in its prompt only as {other[0]!r}; write both alike, "
            f"or put {{}} there"
        )
    return (
        f"the subject {subject!r} is not in its prompt {prompt[:80]!r}; expected it there, or {{}}"
    )


def _word_around(prompt: str, start: int, stop: int) -> str:
    while start and not is_boundary(prompt, start):
        start -= 1
    while stop < len(prompt) and not is_boundary(prompt, stop):
        stop += 1
    return prompt[start:stop]


def _note(prompt: str, subject: str, found: Found, n_places: int, n_chosen: int) -> str:
    notes = []
    if found.subject != subject:
        notes.append(f"{subject!r} is written as its prompt has it, {found.subject!r}")
    if n_places > 1:
        rest = "others" if n_chosen > 1 else "inside other words" if n_places > n_chosen else ""
        notes.append(
            f"of {n_places} places the subject is taken at {marked(prompt, found)}"
            + (f", not {rest}" if rest else "")
        )
    return "; ".join(notes)
