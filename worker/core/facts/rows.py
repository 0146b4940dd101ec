"""From rows with columns to facts; every row that is refused keeps its line and its reason."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.menu import ReadFacts, RefusedRow, ToldRow
from worker.contract.subjects import Ambiguous
from worker.core.facts._cells import cell_text, records, text_list
from worker.core.facts._columns import REQUIRED, check_columns, find_columns
from worker.core.facts._prompts import ready
from worker.core.facts._templates import compile_template

MAX_ROWS = 200_000
MAX_REASON = 500
"""Characters of the reason why a row was refused, which may quote the row."""
_LISTS = tuple(n for n, f in Fact.model_fields.items() if f.annotation == tuple[str, ...])
_RECORDS = ("translations", "ripples")
_SEAMED = ("prompt", "target", "edit_target")
"""Fields whose outer spaces say how prompt and answer are joined."""
Counted = Literal["line", "record", "row"]


@dataclass(frozen=True)
class Row:
    """One row of a file, or one record."""

    number: int
    """By its order; names a fact that has no id."""
    at: int
    """Where it stands in the file, as a reader counts: its line, or its number again."""
    cells: Mapping[str, Any]
    problem: str = ""
    """Why it holds no fact; empty when it may."""
    fact: Fact | None = None
    """What was written by Lethe itself and is taken as it is."""
    note: str = ""
    """What a reader should know of how it was understood; said once for all that have it."""


@dataclass
class _Read:
    """What has been understood so far."""

    facts: dict[str, Fact] = dataclasses.field(default_factory=dict)
    lines: list[int] = dataclasses.field(default_factory=list)
    refused: list[RefusedRow] = dataclasses.field(default_factory=list)
    asked: int = 0
    """Rows that are refused until somebody says which place is their subject."""
    told: list[ToldRow] = dataclasses.field(default_factory=list)
    notes: Counter[str] = dataclasses.field(default_factory=Counter)


def read_rows(
    rows: Iterable[Row],
    columns: Iterable[str],
    mapping: Mapping[str, str],
    format: str,
    counted: Counted = "row",
) -> ReadFacts:
    """Make facts of rows; what is not understood is refused with its place in the file."""
    columns = tuple(columns)
    check_columns(columns)
    found = find_columns(columns, mapping)
    cells = _cells(found, columns)
    read = _Read()
    for count, row in enumerate(rows):
        if count >= MAX_ROWS:
            raise UserError(
                f"The file has more than {MAX_ROWS:,} rows; split it into smaller files.",
                field="file",
            )
        _take(row, cells, read)
    if not read.facts:
        first = read.refused[:1]
        reason = "".join(f" {counted.capitalize()} {r.row}: {r.reason}" for r in first)
        raise UserError(f"The file holds no fact that can be used.{reason}", field="file")
    return ReadFacts(
        format=format,
        columns=columns,
        mapping=found,
        counted=counted,
        facts=tuple(read.facts.values()),
        lines=tuple(read.lines),
        refused=tuple(read.refused),
        told=tuple(read.told),
        notes=tuple(_notes(read)),
    )


def _take(row: Row, cells: Mapping[str, "Cell"], read: _Read) -> None:
    try:
        if row.problem:
            raise ValueError(row.problem)
        fact, told = (row.fact, "") if row.fact else _fact(row.cells, cells, row.number)
        if fact.id in read.facts:
            raise ValueError(f"id {fact.id!r} occurred before; ids must be unique")
    except (ValueError, ValidationError) as error:
        read.asked += isinstance(error, Ambiguous)
        text = " · ".join(str(v)[:120] for v in list(row.cells.values())[:6])[:120]
        read.refused.append(RefusedRow(row=row.at, reason=_reason(error), text=text))
        return
    read.facts[fact.id] = fact
    read.lines.append(row.at)
    if told:
        read.told.append(ToldRow(row=row.at, note=told, text=fact.text[:120]))
    read.notes[row.note] += 1


def _notes(read: _Read) -> Iterable[str]:
    for note, n in read.notes.items():
        if note:
            yield f"{n:,} fact{'s' if n > 1 else ''}: {note}."
    if n := read.asked:
        yield (
            f"In {n:,} of the refused rows it is not said where the subject stands. Say it under "
            f"Occurrence, for all rows as =first or =last, or with a column of that name."
        )
    facts = read.facts.values()
    if n := len(facts) - len({(f.prompt, f.subject) for f in facts}):
        ask = "fact asks" if n == 1 else "facts ask"
        yield (
            f"{n:,} {ask} what an earlier one asks: where only one of them is forgotten, the other "
            f"stands among the facts to retain."
        )
    if n := sum(not f.edit_target for f in facts):
        have = "fact has" if n == 1 else "facts have"
        yield f"{n:,} {have} no edit target: good for unlearning, not for an edit."


Cell = Callable[[Mapping[str, Any]], Any]
"""From a row to what one field of its fact is made of."""


def _cells(found: Mapping[str, str], columns: tuple[str, ...]) -> dict[str, Cell]:
    return {field: _cell(field, column, columns, found) for field, column in found.items()}


def _cell(field: str, column: str, columns: tuple[str, ...], found: Mapping[str, str]) -> Cell:
    if not column.startswith("="):
        return lambda row: row.get(column)
    if field in _RECORDS:  # JSON, whose braces are no places
        return lambda row: column[1:]
    return compile_template(field, column[1:], columns, found["subject"])


def _fact(row: Mapping[str, Any], cells: Mapping[str, Cell], number: int) -> tuple[Fact, str]:
    values: dict[str, Any] = {}
    written: dict[str, Any] = {}
    for field, cell in cells.items():
        value = cell(row)
        if field in _RECORDS:
            values[field] = records(value, field)
        else:
            values[field] = text_list(value) if field in _LISTS else cell_text(value, field)
        if field in _SEAMED:
            written[field] = value.get("str") if isinstance(value, dict) else value
    for field in REQUIRED:
        if not values[field]:
            raise ValueError(f"{field} is empty; expected text")
    values, told = ready(values, written)
    if values.get("edit_target") and values["edit_target"] == values["target"]:
        raise ValueError(
            f"the edit target {values['edit_target']!r} equals the target; expected another answer"
        )
    identifier = values.get("id") or f"row-{number}"
    return Fact(**{**values, "id": identifier, "group": _group(values)}), told


def _group(values: Mapping[str, Any]) -> str:
    """A fact without a group is grouped by its answer, as the sports facts are."""
    return str(values.get("group") or values["target"])[:200]


def _reason(error: Exception) -> str:
    reason = _sentence(error)
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…."


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(p) for p in first["loc"])
        return f"{where}: {message}." if where else f"{message}."
    return f"{error}."
