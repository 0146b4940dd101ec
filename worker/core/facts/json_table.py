"""Facts from JSON or JSON Lines: a list of records, or lists of records by name."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts._layouts import SECTION, arrange, is_record
from worker.core.facts.csv_table import decode, with_encoding
from worker.core.facts.rows import MAX_ROWS, Counted, Row, read_rows

TITLE = "JSON"
ENDINGS = (".json", ".jsonl", ".ndjson")
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class _Record:
    """A value of the file's list."""

    value: Any
    line: int = 0
    """Where it begins; 0 where that is not known."""


def read(data: bytes, mapping: Mapping[str, str]) -> ReadFacts:
    """Read a list of objects, lists by name as in `{"facts": […]}`, or one object a line."""
    decoded = decode(data)
    records = list(_records(decoded.text))
    if len(records) > MAX_ROWS:
        raise UserError(
            f"The file has {len(records):,} records; expected at most {MAX_ROWS:,}. Split it into "
            f"smaller files.",
            field="file",
        )
    # In a file without line breaks every record begins in line 1, which tells nobody anything.
    lines = {record.line for record in records}
    by_line = 0 not in lines and len(lines) == len(records)
    rows = (_row(n, r, r.line if by_line else n) for n, r in enumerate(records, 1))
    found = arrange(rows, mapping, TITLE)
    counted: Counted = "line" if by_line else "record"
    return with_encoding(
        read_rows(found.rows, found.columns, mapping, found.format, counted), decoded
    )


def _row(number: int, record: _Record, at: int) -> Row:
    value = record.value
    if isinstance(value, dict):
        return Row(number, at, value)
    problem = f"the record is {json.dumps(value)[:60]}; expected an object with a fact's fields"
    return Row(number, at, {"record": value}, problem)


def _records(text: str) -> Iterator[_Record]:
    start = _SPACE.match(text).end()  # type: ignore[union-attr]  # it matches nothing, too
    try:
        if text.startswith("[", start):
            yield from _elements(text, start)
            return
        value = json.loads(text)
    except RecursionError:
        raise UserError("The JSON is nested too deeply; expected a list.", field="file") from None
    except ValueError as error:
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        if not text.startswith("{", start) or len(lines) == 1:
            raise UserError(f"This is no JSON: {error}.", field="file") from None
        yield from _lines(lines)
        return
    yield from _sections(value)


def _elements(text: str, start: int) -> Iterator[_Record]:
    """Walk through a list, so that the line of every element is known; as json.loads otherwise."""
    decoder, line, seen = json.JSONDecoder(), 1, 0
    at = _skip(text, start + 1)
    if text.startswith("]", at):
        _end(text, at + 1)
        return
    while True:
        line, seen = line + text.count("\n", seen, at), at
        value, at = decoder.raw_decode(text, at)
        yield _Record(value, line)
        at = _skip(text, at)
        if text.startswith("]", at):
            _end(text, at + 1)
            return
        if not text.startswith(",", at):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too


def _end(text: str, at: int) -> None:
    if (at := _skip(text, at)) < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _sections(value: Any) -> Iterator[_Record]:
    """Give the records of every list in an object, or the object where it is one record itself."""
    lists = (
        {name: part for name, part in value.items() if _holds_records(part)}
        if isinstance(value, dict) and not is_record(value)
        else {}
    )
    if not lists:
        yield _Record(value)
    for name, part in lists.items():
        yield from (
            _Record({**one, SECTION: name} if isinstance(one, dict) else one) for one in part
        )


def _holds_records(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and any(isinstance(one, dict) for one in part)


def _lines(lines: list[tuple[int, str]]) -> Iterator[_Record]:
    for number, line in lines:
        try:
            yield _Record(json.loads(line), number)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"Line {number} is no JSON: {error}. Expected one object a line.", field="file"
            ) from None
