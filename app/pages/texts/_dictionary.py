"""The dictionary's table on a page: rows as typed, as JSON, and back."""

import json
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile

from worker.contract.errors import UserError
from worker.contract.result import Result

SPARE = 3
"""Empty rows at the table's end."""
MAX_BYTES = 200_000


@dataclass(frozen=True)
class Entry:
    """One row: what is typed, and what the run knew of the expression."""

    expression: str = ""
    counterpart: str = ""
    is_out: bool = False
    kind: str = ""
    times: Any = None
    surprise: Any = None
    mark: Any = None


def proposed(result: Result) -> list[Entry]:
    """The rows that a run proposed."""
    table = result.tables.get("dictionary")
    return [
        Entry(str(expression), str(counterpart), False, str(kind), times, surprise, mark)
        for expression, counterpart, times, kind, surprise, mark in (table.rows if table else ())
    ]


def typed_entries(form: FormData, known: list[Entry]) -> list[Entry]:
    """The rows as they were sent; what the run knew stays beside its expression."""
    about = {entry.expression: entry for entry in known}
    expressions = [str(value) for value in form.getlist("expression")]
    counterparts = [str(value) for value in form.getlist("counterpart")]
    out = {str(value) for value in form.getlist("out")}
    rows = []
    for i, expression in enumerate(expressions):
        counterpart = counterparts[i] if i < len(counterparts) else ""
        if expression.strip() or counterpart.strip():
            entry = about.get(expression.strip(), Entry())
            rows.append(
                Entry(
                    expression.strip(),
                    counterpart.strip(),
                    str(i) in out,
                    entry.kind,
                    entry.times,
                    entry.surprise,
                    entry.mark,
                )
            )
    return rows


def as_dictionary(entries: list[Entry]) -> dict[str, str]:
    """The pairs that are kept; UserError for a row that cannot be one."""
    pairs: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        if entry.is_out:
            continue
        if not entry.expression or not entry.counterpart:
            missing = "expression" if not entry.expression else "counterpart"
            raise UserError(
                f"Row {number} of the dictionary has no {missing}; expected both, or leave the row "
                f"out.",
                field="options.dictionary",
            )
        if entry.expression in pairs:
            raise UserError(
                f"{entry.expression!r} stands in the dictionary twice; expected each expression "
                f"once. Leave one of the rows out.",
                field="options.dictionary",
            )
        if entry.expression == entry.counterpart:
            raise UserError(
                f"Row {number} turns {entry.expression!r} into itself; expected another one.",
                field="options.dictionary",
            )
        pairs[entry.expression] = entry.counterpart
    if not pairs:
        raise UserError(
            "The dictionary has no row; expected at least one expression with its counterpart.",
            field="options.dictionary",
        )
    return pairs


async def imported(form: FormData, known: list[Entry]) -> list[Entry]:
    """The rows of an imported JSON object, from a file or as pasted text."""
    given = form.get("file")
    text = str(form.get("pasted") or "")
    if isinstance(given, UploadFile) and given.filename:
        data = await given.read(MAX_BYTES + 1)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(
                f"{given.filename!r} is no UTF-8 text; expected a JSON file.", field="pasted"
            ) from None
    if not text.strip() or len(text) > MAX_BYTES:
        raise UserError(
            f"The dictionary to import has {len(text):,} characters; expected 1 to "
            f'{MAX_BYTES:,}, for example {{"Merrin": "Anna"}}.',
            field="pasted",
        )
    pairs = parse_words(text)
    about = {entry.expression: entry for entry in known}
    blank = Entry()
    return [
        Entry(
            expression,
            counterpart,
            False,
            (entry := about.get(expression, blank)).kind,
            entry.times,
            entry.surprise,
            entry.mark,
        )
        for expression, counterpart in pairs.items()
    ]


def parse_words(text: str) -> dict[str, str]:
    """Read a JSON object of expressions and counterparts; UserError for anything else."""
    try:
        pairs = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"This is no JSON: {error}.", field="pasted") from None
    if not isinstance(pairs, dict) or not all(isinstance(v, str) for v in pairs.values()):
        raise UserError(
            'This JSON is no dictionary; expected an object such as {"Merrin": "Anna"}.',
            field="pasted",
        )
    return pairs
