"""Multiple choice, as in WMDP and MMLU: a question, its options, and which of them is right.

The right option is the target and the others are the wrong answers that multiple choice offers
beside it. It is given by its number (from 0), its letter, or its text. Options stand in a list, in
`{"text": […], "label": […]}` as in ARC, or in columns A, B, C, D.

Source: Hendrycks et al. 2021, MMLU (arXiv 2009.03300); Li et al. 2024, WMDP (arXiv 2403.03218).
"""

from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

from worker.core.facts._cells import text_list
from worker.core.facts._layouts import SECTION
from worker.core.facts._questions import asked
from worker.core.facts._record import Record, answers, optional, text

TITLE = "multiple choice"
_RIGHT = ("answer", "answerKey", "answer_index", "label", "target")
KEYS = (
    *({"question", options, right} for options in ("choices", "options") for right in _RIGHT),
    *({"question", "A", "B", right} for right in _RIGHT),
)
WITHOUT_HEADER = ("question", "A", "B", "C", "D", "answer")
"""The columns of MMLU's tables, which have no header."""


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the question as a fact with its wrong answers."""
    options, letters = _options(record)
    target = _right(record, options, letters)
    topic = next((t for key in ("category", "subject", "task") if (t := optional(record, key))), "")
    group = topic or optional(record, SECTION) or "questions"
    yield {
        **asked(text(record, "question")),
        "target": target,
        "options": [one for one in dict.fromkeys(options) if one != target],
        "edit_target": "",
        "relation": group,
        "group": group,
    }


def _options(record: Record) -> tuple[list[str], list[str]]:
    """The options and the letters or numbers by which the right one may be named."""
    given = record.get("choices", record.get("options"))
    if given is None:
        letters = [letter for letter in ascii_uppercase if optional(record, letter)]
        return [text(record, letter) for letter in letters], letters
    labels: tuple[str, ...] = tuple(ascii_uppercase)
    if isinstance(given, dict):
        labels = text_list(given.get("label"))
        given = given.get("text")
    listed = text_list(given) if isinstance(given, str) else given
    if not isinstance(listed, (list, tuple)) or len(listed) < 2:
        raise ValueError(f"the options are {str(given)[:60]!r}; expected a list of at least 2")
    return [_option(one) for one in listed], list(labels[: len(listed)])


def _option(given: Any) -> str:
    return " ".join(answers(given))


def _right(record: Record, options: list[str], letters: list[str]) -> str:
    """The right option's text; ValueError where what names it names none, or two."""
    key = next((k for k in _RIGHT if isinstance(record.get(k), (str, int, float))), None)
    if key is None:
        raise ValueError(f"none of {', '.join(_RIGHT)} names the right option")
    given = record[key]
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if isinstance(given, int) and not isinstance(given, bool):
        return _numbered(given, key, options)
    named = optional(record, key)
    found = {options[i] for i, letter in enumerate(letters) if letter == named and i < len(options)}
    found |= {one for one in options if one == named}
    if named.isdecimal() and len(named) < 4 and named not in letters:
        found.add(_numbered(int(named), key, options))
    if len(found) != 1:
        which = "no option" if not found else "two options"
        raise ValueError(
            f"{key} {named[:60]!r} names {which}; expected a number from 0 or a letter"
        )
    return found.pop()


def _numbered(number: int, key: str, options: list[str]) -> str:
    if not 0 <= number < len(options):
        raise ValueError(f"{key} is {number}; expected a number from 0 to {len(options) - 1}")
    return options[number]
