"""What a lesson's expressions can ask of an experiment that was run: its tokens and its arrays.

A place on an axis is a number (from the end where negative), a label, or one of `FIRST` (the
subject's first token), `SUBJECT` (its last), `SPAN` (all of it) and `LAST` (the prompt's last).
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.result import ArrayInfo, Result, Table
from worker.lessons.expressions import Expression

FIRST, SUBJECT, LAST = "first subject token", "last subject token", "last token"
SPAN = "subject's tokens"
PLACES = {"subject_first": FIRST, "subject_last": SUBJECT, "last": LAST, "subject": SPAN}
"""Names of an expression that stand for a token."""
AXES = ("layer", "token", "head", "row", "component", "query", "key")
TOKENS = ("token", "query", "key")
"""Axes that count a prompt's tokens."""
CELL = frozenset({*PLACES, *AXES, "value"})
"""Names of the expression that says which cells of a click are right."""
NAMES = frozenset(PLACES)
Place = int | str
Cell = dict[str, int]


class Observed:
    """One experiment's result, as expressions see it."""

    def __init__(self, result: Result) -> None:
        self.result = result

    def says(self, word: str, prompt: str = "clean") -> bool:
        """Whether the likeliest next token of a prompt is this word, or begins it."""
        token = self.answer(prompt)
        return bool(token) and word.strip().casefold().startswith(token.casefold())

    def answer(self, prompt: str = "clean") -> str:
        """The likeliest next token, without its space."""
        return str(self._likeliest(prompt)["token"]).strip()

    def answer_id(self, prompt: str = "clean") -> int:
        """The same token's number in the vocabulary, which names it to another experiment."""
        return int(self._likeliest(prompt)["id"])

    def probability(self, word: str, prompt: str = "clean") -> float:
        """The probability of a next token, `target` or `distractor`, at the end of a prompt.

        Raises UserError where it is too unlikely to be among those that were listed.
        """
        for row in self.result.view.get("answers", ()):
            if row["prompt"] == prompt and word in (row["answer"], str(row["text"]).strip()):
                return float(row["probability"])
        named = self._answer(word) if word in ("target", "distractor") else word.strip()
        for row in self._top(prompt):
            if str(row["token"]).strip() == named:
                return float(row["probability"])
        raise UserError(f"{word!r} is not among the likeliest tokens of the {prompt} prompt.")

    def at(self, place: Place, prompt: str = "clean") -> int:
        """The number of a prompt's token, from 0: of its last one, or of the subject's first."""
        return self._named_tokens(self._prompt(prompt), str(place))[0]

    def target(self) -> str:
        """The answer that is looked at."""
        return self._answer("target")

    def distractor(self) -> str:
        """The answer it is compared with."""
        return self._answer("distractor")

    def told(self, prompt: str, metric: str = "logit_diff") -> float:
        """A metric of a patching experiment in the run of one prompt."""
        metrics = self.result.view.get("metrics", {})
        if metric not in metrics or prompt not in metrics[metric]:
            raise UserError(f"This experiment has no {metric} of a {prompt} run.")
        return float(metrics[metric][prompt])

    def cell(self, array: str, **at: Place) -> float:
        """One number of an array; every axis has its place."""
        found = list(self._cells(array, at))
        if len(found) != 1:
            free = [axis.name for axis in self._info(array).axes if axis.name not in at]
            raise UserError(f"The array {array!r} needs a place on {', '.join(free)}.")
        return found[0][1]

    def largest(self, array: str, **at: Place) -> float:
        """The largest number of an array, or of a part of it."""
        return self._most(array, at)[1]

    def mean(self, array: str, **at: Place) -> float:
        """The mean of an array, or of a part of it."""
        numbers = [value for _, value in self._cells(array, at)]
        if not numbers:
            raise UserError(f"The array {array!r} has no number there.")
        return sum(numbers) / len(numbers)

    def found(self, name: str) -> Any:
        """A number or a word of a run's summary, for example `verdict`."""
        summary = self.result.summary
        if name not in summary:
            near = [one for one in summary if name.split(".")[0] in one] or list(summary)
            raise unknown("number of this experiment", name, sorted(near))
        return summary[name]

    def table(self, name: str) -> Table:
        """A table of the result, or of an evaluation, as `verdict.card`."""
        tables = self.result.tables | {
            f"{one}.{inner}": table
            for one, found in self.result.evaluations.items()
            for inner, table in found.tables.items()
        }
        if name not in tables:
            raise unknown("table of this experiment", name, sorted(tables))
        return tables[name]

    def count(self, array: str, at_least: float, **at: Place) -> int:
        """How many numbers of an array, or of a part of it, reach a number."""
        return sum(value >= at_least for _, value in self._cells(array, at))

    def where(self, array: str, axis: str, **at: Place) -> int:
        """The place on an axis at which an array, or a part of it, is largest."""
        return self._most(array, at)[0][self._named(array, axis)]

    def first(self, array: str, axis: str, at_least: float, ending: str = "", **at: Place) -> int:
        """The first place on an axis where an array reaches a number; one past its end if none.

        With `ending`, only places count whose label ends so.
        """
        name = self._named(array, axis)
        info = self._info(array)
        place = [one.name for one in info.axes].index(name)
        labels = info.axes[place].labels or ()
        places = [
            cell[name]
            for cell, value in self._cells(array, at)
            if value >= at_least and (not ending or labels[cell[name]].endswith(ending))
        ]
        return min(places, default=self.size(info, place))

    def label(self, array: str, axis: str, place: int) -> str:
        """What stands at a place of an axis; of a token its text."""
        info = self._info(array)
        labels = next(one.labels for one in info.axes if one.name == axis)
        if axis not in TOKENS:
            return labels[place] if labels else str(place)
        return str(self.tokens(info)[self.shown(info, axis)[place]]["text"])

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """What an expression may call."""
        return {name: getattr(self, name) for name in FUNCTIONS}

    def value(self, text: str) -> Any:
        """What an expression is here; UserError where it cannot be computed."""
        return Expression(text, self.functions, NAMES).value(self.functions, self.names())

    def accepted(self, array: str, text: str) -> list[Cell]:
        """The cells of an array for which an expression holds."""
        info = self._info(array)
        expression = Expression(text, self.functions, CELL)
        named = self.names(info)
        return [
            cell
            for cell, value in self.cells(array)
            if expression.value(self.functions, {**named, **cell, "value": value})
        ]

    def cells(self, array: str) -> Iterator[tuple[Cell, float]]:
        """Every cell of an array with its number; gaps are left out."""
        return self._cells(array, {})

    def names(self, info: ArrayInfo | None = None) -> dict[str, Any]:
        """What the names of places stand for."""
        axes = [one.name for one in info.axes] if info else []
        axis = next((name for name in axes if name in TOKENS), "")
        if info is None or not axis:
            return dict(PLACES)
        size = self.size(info, axes.index(axis))
        return {
            name: place if place == SPAN else self._places(info, axis, place, size)[0]
            for name, place in PLACES.items()
            if place == LAST or _subject(self.tokens(info))
        }

    def tokens(self, info: ArrayInfo) -> list[dict[str, Any]]:
        """The tokens that an array's token axis counts."""
        return self._prompt(self.result.view.get("which", "clean"))

    def shown(self, info: ArrayInfo, axis: str) -> list[int]:
        """Which of the prompt's tokens stand on an axis of tokens."""
        labels = next(one.labels for one in info.axes if one.name == axis)
        return [int(label) for label in labels or map(str, range(len(self.tokens(info))))]

    def info(self, array: str) -> ArrayInfo:
        """An array; UserError names those there are."""
        return self._info(array)

    @staticmethod
    def size(info: ArrayInfo, place: int) -> int:
        """How long an axis is."""
        values: Any = info.values or []
        for _ in range(place):
            values = values[0]
        return len(values)

    def _top(self, prompt: str) -> list[dict[str, Any]]:
        rows = [row for row in self.result.view.get("top", ()) if isinstance(row, dict)]
        found = [row for row in rows if row["prompt"] == prompt]
        if not found:
            raise UserError(f"This experiment has no likeliest tokens of a {prompt} prompt.")
        return found

    def _likeliest(self, prompt: str) -> dict[str, Any]:
        return min(self._top(prompt), key=lambda row: int(row["rank"]))

    def _answer(self, which: str) -> str:
        found = self.result.view.get(which)
        if not found:
            raise UserError(f"This experiment has no {which}.")
        return str(found["text"]).strip()

    def _info(self, array: str) -> ArrayInfo:
        if array not in self.result.arrays:
            raise unknown("array of this experiment", array, sorted(self.result.arrays))
        return self.result.arrays[array]

    def _named(self, array: str, axis: str) -> str:
        axes = [one.name for one in self._info(array).axes]
        if axis not in axes:
            raise unknown("axis of this array", axis, axes)
        return axis

    def _most(self, array: str, at: dict[str, Place]) -> tuple[Cell, float]:
        found = list(self._cells(array, at))
        if not found:
            raise UserError(f"The array {array!r} has no number there.")
        return max(found, key=lambda one: one[1])

    def _cells(self, array: str, at: dict[str, Place]) -> Iterator[tuple[Cell, float]]:
        info = self._info(array)
        axes = [one.name for one in info.axes]
        for name in at:
            self._named(array, name)
        sizes = [self.size(info, place) for place in range(len(axes))]
        ranges = [
            self._places(info, name, at[name], size) if name in at else range(size)
            for name, size in zip(axes, sizes, strict=True)
        ]
        for places in product(*ranges):
            value: Any = info.values
            for place in places:
                value = value[place]
            if value is not None:
                yield dict(zip(axes, places, strict=True)), float(value)

    def _places(self, info: ArrayInfo, axis: str, place: Place, size: int) -> list[int]:
        labels = next(one.labels for one in info.axes if one.name == axis) or ()
        if place in (FIRST, SUBJECT, SPAN, LAST):
            shown = self.shown(info, axis)
            meant = self._named_tokens(self.tokens(info), str(place))
            places = [shown.index(one) for one in meant if one in shown]
            if not places:
                raise UserError(f"The {place} is not among the tokens that were looked at.")
            return places
        if isinstance(place, str):
            if place not in labels:
                raise unknown(axis, place, list(labels))
            return [labels.index(place)]
        found = int(place) + (size if place < 0 else 0)
        if not 0 <= found < size:
            raise UserError(f"{axis} is {place}; expected one from 0 to {size - 1}.")
        return [found]

    def _prompt(self, which: str) -> list[dict[str, Any]]:
        """The tokens of a prompt, of the first where none is named so."""
        prompts = self.result.view["prompts"]
        return list(next((p for p in prompts if p["name"] == which), prompts[0])["tokens"])

    @staticmethod
    def _named_tokens(tokens: list[dict[str, Any]], place: str) -> list[int]:
        if place == LAST:
            return [len(tokens) - 1]
        marked = _subject(tokens)
        if not marked:
            raise UserError("The prompt has no subject; mark one.")
        if place not in (FIRST, SUBJECT, SPAN):
            raise UserError(
                f"{place!r} is no token; expected last, subject_first, subject_last or subject."
            )
        return {FIRST: marked[:1], SUBJECT: marked[-1:], SPAN: marked}[place]


def _subject(tokens: list[dict[str, Any]]) -> list[int]:
    return [i for i, one in enumerate(tokens) if one.get("subject")]


FUNCTIONS = (
    *("says", "answer", "answer_id", "probability", "target", "distractor"),
    *("found", "told", "cell", "largest", "mean", "count", "where", "first", "label", "at"),
)
"""Methods of `Observed` that an expression may call."""
