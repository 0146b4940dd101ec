"""Whether an answer is right: what the experiment shows, and nothing else, decides."""

from dataclasses import dataclass

from app.formats import number
from worker.contract.errors import UserError
from worker.lessons.observing import Observed
from worker.lessons.schema import Figure, Question

LONGEST = 100
"""Characters of an answer."""


@dataclass(frozen=True)
class Judged:
    """What is said to an answer. `best` is what the experiment shows, in words."""

    right: bool
    given: str
    best: str
    cells: frozenset[str] = frozenset()
    """The cells that are right, of a click."""
    says: str = ""
    """What the lesson says to who chose so, as Markdown."""


def judge(question: Question, figure: Figure | None, seen: Observed, given: str) -> Judged:
    """Judge an answer as it was sent; UserError for one that is none."""
    if len(given) > LONGEST or not given.strip():
        raise UserError("No answer was given; choose or type one.", field="answer")
    if question.kind == "choice":
        return _choice(question, seen, given)
    if question.kind == "number":
        return _number(question, seen, given)
    assert figure is not None, "a click has a figure"
    return _click(question, figure, seen, given)


def _choice(question: Question, seen: Observed, given: str) -> Judged:
    if not given.isdecimal() or int(given) >= len(question.choices):
        raise UserError(
            f"{given!r} is none of the {len(question.choices)} answers; choose one.", field="answer"
        )
    chosen = question.choices[int(given)]
    right = [one.words for one in question.choices if seen.value(one.when)]
    best = " or ".join(right) or "none of these"
    return Judged(chosen.words in right, chosen.words, best, says=chosen.says)


def _number(question: Question, seen: Observed, given: str) -> Judged:
    try:
        typed = float(given.replace(",", ".").replace("−", "-"))
    except ValueError:
        raise UserError(
            f"{given!r} is no number; expected one like 3 or 0.5.", field="answer"
        ) from None
    true = float(seen.value(question.equals))
    best = number(int(true) if true == int(true) else true)
    is_right = abs(typed - true) <= question.within + 1e-9
    return Judged(is_right, given.strip(), best)


def _click(question: Question, figure: Figure, seen: Observed, given: str) -> Judged:
    axes = [axis.name for axis in seen.info(figure.show).axes]
    cells = {
        ".".join(str(cell[axis]) for axis in axes)
        for cell in seen.accepted(figure.show, question.accept)
    }
    known = {
        ".".join(str(cell[axis]) for axis in axes): value for cell, value in seen.cells(figure.show)
    }
    if given not in known:
        raise UserError(f"{given!r} is no cell of the figure; click one.", field="answer")
    best = "one of the outlined cells" if cells else "no cell of this figure"
    words = f"a cell with {number(known[given])}"
    return Judged(given in cells, words, best, frozenset(cells))
