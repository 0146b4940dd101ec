"""How a prompt and its answer become one running text.

The rule (METHODS.md §7, leading space: targets are derived by offset mapping of prompt + target).
A language model was trained on running text, and its tokenizer puts the space before a word into
the word's own token. So an answer is asked as it would stand in running text after its prompt:

1. What the author wrote at the seam stands: a newline, a space or a tab at the prompt's end, or
   before the answer, is kept, and nothing is added to it. `assistant\\n` + `Paris` stays that.
2. Where nothing is written, one space is put between, for an answer is a new word,
3. unless running text has none there: a number goes on (`19` + `69`, `3.` + `14`, `the 5` + `th`),
   a formula does (`H` + `2O`), a sign or an opening stands before (`$` + `5`, `(`, an opened
   quotation mark), a hyphen, a slash or another tie that has no space before it (`well-`, `2+2=`,
   `<|assistant|>`), an elision (`l'` + `Italie`), a script without spaces (Chinese, Japanese,
   Thai …), or an answer that begins with what closes (`, France`, `'s`). `REASONS` lists them all.
4. An author who means something else says so, for a fact or for a whole set: `space`, `none`, or
   `as written` (character by character).

The running text is then cut once, and the answer's first token is the one that holds its first
character. A single space at the seam therefore belongs to the answer: `is ` + `Paris` is asked as
`is` + ` Paris`, which is the same text. Where the tokenizer merges the two sides into one token,
the prompt alone is another prompt, and the fact is refused (`core.models.tokens.answer_ids`).
"""

import re
from dataclasses import dataclass
from typing import Literal

Join = Literal["", "space", "none", "as written"]
"""`` is the rule; the others are the author's choice."""

UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3001-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
"""Scripts written without spaces, with their punctuation, as ranges of a character class."""
_TAIL = 200
"""Characters of the prompt's last line that are looked at."""
_TIES = r"\-‐‑–—=+/<>&|×÷^\\~@"
_CLOSING_TAG = re.compile(r"</\w+>\Z")
_QUOTES = "\"'`“”„‚‘’«»"
_CLOSE = r",;:!?%‰)\]}”»…、。，！？：；」』）"
_ELEMENTS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br"
    " Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pt Au Hg Tl Pb Bi Rn Ra Th"
    " U Pu"
)
_ATOM = "(?:" + "|".join(sorted(_ELEMENTS.split(), key=len, reverse=True)) + ")"
_PART = rf"[(\[]*(?:{_ATOM}[)\]]*\d*)+[)\]]*\d*"
_WORDS = r"(?<![\w.])(?!(?:I|As|He|In|No|Be|US|UK)\Z)"
"""Before a part of a formula: it is not inside a word, and no word itself."""
_FORMULA = rf"\b[Ff][oó]rm(?:ul|el).*(?<![\w.]){_PART}"


@dataclass(frozen=True)
class Close:
    """Why running text has no space: how the prompt's last line ends and the answer begins."""

    words: str
    ends: re.Pattern[str]
    begins: re.Pattern[str]


def _close(words: str, ends: str, begins: str = "") -> Close:
    return Close(words, re.compile(rf"(?:{ends})\Z"), re.compile(begins))


REASONS = (
    _close("what closes stands close", r"\S", rf"(?:[{_CLOSE}]+|\.+)(?=\s|$)"),
    _close("what closes stands close", r"\w", r"['’](?:s|t|re|ve|ll|d|m)\b"),
    _close("what closes stands close", r"\w", r"[-‐‑][^\W\d_]{2}"),
    _close("a number goes on", r"\d", r"\d|[.,:/×–-]\d|[°′″ºª]|(?:st|nd|rd|th|s)\b"),
    _close("a number goes on", r"\d[.,:]", r"\d"),
    _close("a number goes on", r"[^\d\s)][^\S\n]+[-+−]", r"\.?\d"),
    _close("a number goes on", r"°", r"[A-Za-z]\b"),
    _close("a formula goes on", _WORDS + _PART, rf"[2-9](?!\d)(?:{_PART})?\s*\Z"),
    _close("a formula goes on", _FORMULA, rf"(?:{_PART}|\d+(?:{_PART})?)(?!\w)"),
    _close("a designation goes on", r"(?<![\w.'’-])[A-HJ-UWYZ]", r"\d"),
    _close("a script without spaces", rf"[{UNSPACED}]", r"\S"),
    _close("a script without spaces", rf"[{UNSPACED}]\S*", rf"[{UNSPACED}]"),
    _close("a bracket is open", r"[(\[{⟨‹¿¡]"),
    _close("a sign stands before", r"(?<!\d)(?<!\d )[$¢£¤¥֏₠-⃀]"),
    _close("a sign stands before", r"(?:^|[\s(])[#@~±]"),
    _close("an elision", r"(?<!\w)(?:\w{1,2}|\w*(?:ll|[Qq]u))['’]", r"\w"),
    _close("an address goes on", r"(?:(?:://|www\.|@)\S*|www)\.", r"\w"),
    _close("an address goes on", r"\w:", r"//"),
    _close("a tie stands before", r"::"),
    _close("a tie stands before", rf"[^\s{_TIES}][{_TIES}]+"),
)
"""Where running text has no space, in the order in which they are tried."""


def asked(prompt: str, how: Join = "") -> str:
    """Return the prompt as it is put to a model: without a space that belongs to the answer."""
    end = prompt.rstrip(" ")
    return end if how in ("space", "none") else end + prompt[len(end) : -1]


def joined(prompt: str, answer: str, how: Join = "") -> tuple[str, str]:
    """Split the running text of prompt and answer at the seam; the answer has its space.

    The first part is `asked(prompt, how)`, whatever the answer; both together are the text.
    """
    return asked(prompt, how), following(prompt, answer, how)


def following(prompt: str, answer: str, how: Join = "") -> str:
    """Return the answer as it follows its prompt, with what stands between; "" for no answer."""
    if not answer.strip():
        return ""
    space = prompt[len(prompt.rstrip(" ")) :][-1:]
    if how == "as written":
        return space + answer
    word = answer.strip(" ")
    if how == "space":
        return " " + word
    if how == "none":
        return word
    return _seam(prompt, answer, space) + word.rstrip()


def why_close(prompt: str, answer: str) -> str:
    """Say why the rule puts no space between, in words; empty where it puts one."""
    if not prompt or prompt[-1].isspace():
        return "as it is written"
    line = prompt[-_TAIL:].rpartition("\n")[2]
    if _CLOSING_TAG.search(line):
        return ""
    if not line[-1].isalnum() and _is_opened(line):
        return "a mark is open"
    return _reason_of(line, answer)


def _reason_of(line: str, answer: str) -> str:
    found = (r for r in REASONS if r.begins.match(answer) and r.ends.search(line))
    return next((one.words for one in found), "")


def _seam(prompt: str, answer: str, space: str) -> str:
    if space or prompt[-1:].isspace():
        return space
    if answer[0].isspace():
        return " " if answer[0] == " " else ""
    return "" if why_close(prompt, answer) else " "


def _is_opened(line: str) -> bool:
    """Whether a line ends in a mark of quotation or emphasis that opens what follows.

    A mark opens behind a space or an opening; between two words it opens if it is the odd one.
    """
    found = re.search(rf"([{_QUOTES}])\1*\Z|\*+\Z|(?<!_)_{{1,2}}\Z", line)
    if found is None:
        return False
    before, mark = line[: found.start()], found[0]
    if not before.strip() or before[-1] in "([{¿¡-—–/=>":
        return True
    is_odd, is_spaced = line.count(mark) % 2 == 1, before[-1].isspace()
    if mark[0] in "*_":
        return is_odd and not (is_spaced and re.search(r"\d\s*\Z", before))
    return is_spaced or (is_odd and not before[-1].isalnum())
