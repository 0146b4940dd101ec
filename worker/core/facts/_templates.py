"""Texts that are the same for every row but for what columns give: `={subject} plays {game}`."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.contract.base import unknown
from worker.contract.errors import UserError

_PLACE = re.compile(r"\{([^{}]*)\}")
Row = Mapping[str, Any]


def compile_template(
    field: str, text: str, columns: Sequence[str], subject: str
) -> Callable[[Row], str]:
    """Make a function from a row to a text; `{}` and `{subject}` stay places for the subject.

    Every other `{name}` is a column. `subject` is the column (or the constant after `=`) that
    gives the subject. Raises UserError beside `mapping.<field>` for a place that is no column.
    """
    by_name = {column.strip().lower(): column for column in columns}
    names = {place: _column(place, by_name, subject, field) for place in _PLACE.findall(text)}

    def fill(row: Row) -> str:
        return _PLACE.sub(lambda found: _value(row, names[found[1]]), text)

    return fill


def _column(place: str, by_name: Mapping[str, str], subject: str, field: str) -> str:
    """The column that a place names; empty for the subject."""
    wanted = place.strip().lower()
    if wanted in ("", "subject") or by_name.get(wanted) == subject:
        return ""
    if wanted not in by_name:
        raise UserError(
            unknown("column", place[:60], list(by_name.values())).message
            + " A text after '=' names columns in braces, and {} is the subject.",
            field=f"mapping.{field}",
        )
    return by_name[wanted]


def _value(row: Row, column: str) -> str:
    if not column:
        return "{}"
    value = row.get(column)
    text = "" if value is None else str(value).strip()
    if not text:
        raise ValueError(f"the column {column!r} is empty; expected what the template asks for")
    return text.replace("{}", "{ }")
