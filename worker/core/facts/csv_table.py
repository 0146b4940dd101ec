"""Facts from a CSV file: encoding, delimiter and quoting are found, columns by name."""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.contract.texts import Decoded
from worker.contract.texts import decode as decode_text
from worker.core.facts._columns import check_columns
from worker.core.facts._layouts import arrange
from worker.core.facts.multiple_choice import WITHOUT_HEADER
from worker.core.facts.rows import Row, read_rows

TITLE = "CSV"
ENDINGS = (".csv", ".tsv", ".txt")
_SAMPLE = 200_000
"""Characters in which quoting is looked for."""
_SEPARATOR = re.compile(r"\s*\"?sep=(?P<mark>[,;|\t])?\"?[ ,;]*(?:\r\n|\n|\r)", re.IGNORECASE)
"""The line that Excel takes for the file's delimiter, and leaves standing before the header."""


@dataclass
class _Table:
    """A file's text and how its cells are told apart."""

    text: str
    before: int
    """Lines before the header's."""
    delimiter: str
    quoting: Mapping[str, Any]
    header: list[str] = field(default_factory=list)


def read(data: bytes, mapping: Mapping[str, str]) -> ReadFacts:
    """Read a CSV with a header row; raise UserError when it is none."""
    decoded = decode(data)
    table = _table(decoded.text)
    records: Iterator[tuple[int, list[str]]] = _records(table)
    first = next(records, (0, []))
    table.header = [column.strip() for column in first[1]]
    if _is_answered(table.header):
        table.header, records = list(WITHOUT_HEADER), itertools.chain([first], records)
    check_columns(table.header)  # before rows become dictionaries, which hide equal names
    rows = (_row(n, at, cells, table) for n, (at, cells) in enumerate(records, 2) if cells)
    put = arrange(rows, mapping, TITLE)
    found = read_rows(put.rows, put.columns or table.header, mapping, put.format, "line")
    return with_encoding(found, decoded).model_copy(
        update={"delimiter": table.delimiter, "quote": table.quoting.get("quotechar", "")}
    )


def decode(data: bytes) -> Decoded:
    """Decode a file of facts; raise UserError that says where it fails, or that it is empty."""
    found = decode_text(data)
    if not found.text.strip():
        raise UserError("The file is empty; expected a header row and facts.", field="file")
    return found


def with_encoding(found: ReadFacts, decoded: Decoded) -> ReadFacts:
    """Say of a read file how its bytes were decoded."""
    notes = (*found.notes, decoded.note) if decoded.note else found.notes
    return found.model_copy(update={"encoding": decoded.encoding, "notes": notes})


def _is_answered(header: list[str]) -> bool:
    """Say whether what stands for a header is a question with four options and a letter."""
    return len(header) == len(WITHOUT_HEADER) and header[-1] in WITHOUT_HEADER[1:-1]


def _table(text: str) -> _Table:
    named = _SEPARATOR.match(text)
    before = text[: named.end()] if named else ""
    text = text[len(before) :]
    delimiter = (named and named["mark"]) or _delimiter(text)
    n_before = len(before.splitlines())
    return _Table(text, n_before, delimiter, _quoting(text, delimiter))


def _records(table: _Table) -> Iterator[tuple[int, list[str]]]:
    """Give every record with the line in which it begins; UserError names the line that fails."""
    csv.field_size_limit(10_000_000)
    lines = io.StringIO(table.text, newline="")
    reader = csv.reader(lines, delimiter=table.delimiter, strict=True, **table.quoting)
    while True:
        begins = table.before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            ends = table.before + reader.line_num
            raise UserError(_unreadable(begins, ends, error), field="file") from None
        yield begins, cells


def _unreadable(begins: int, ends: int, error: csv.Error) -> str:
    where = f"in line {begins}" if begins == ends else f"in lines {begins} to {ends}"
    return (
        f"This is no CSV file: {error}, {where}. A quotation mark that begins a cell in line "
        f"{begins} is not closed where the cell ends: close it, and double a mark inside a cell."
    )


def _row(number: int, at: int, cells: Sequence[str], table: _Table) -> Row:
    named = dict(zip(table.header, cells, strict=False))
    return Row(number, at, named, _problem(at, cells, table))


def _problem(at: int, cells: Sequence[str], table: _Table) -> str:
    """Say why a record cannot be what its author wrote; empty where it can."""
    n = len(table.header)
    surplus = [cell for cell in cells[n:] if cell.strip()]
    if surplus:
        return (
            f"line {at} has {len(cells)} cells where the header has {n}, with {surplus[0][:60]!r} "
            f"too many; put quotation marks around a cell that holds {table.delimiter!r}"
        )
    for cell in cells:
        if "\n" in cell and _holds_rows(cell, table.delimiter, n):
            return (
                f"the cell {cell[:40]!r} goes on over {cell.count(chr(10))} lines that look like "
                f"rows of their own; close the quotation mark that begins it"
            )
    return ""


def _holds_rows(cell: str, delimiter: str, n: int) -> bool:
    """Say whether every further line of a cell has as many cells as a row: a mark left open."""
    return n > 2 and all(line.count(delimiter) == n - 1 for line in cell.split("\n")[1:])


def _delimiter(text: str) -> str:
    """The one that the header has most often outside of quotes."""
    header = re.sub(r"\"[^\"]*\"", "", text.lstrip().split("\n", 1)[0])
    return max(",;\t|", key=header.count)


def _quoting(text: str, delimiter: str) -> dict[str, Any]:
    """How cells are quoted, where not by doubled double quotes; and whether spaces pad them."""
    cells = text.lstrip().split("\n", 1)[0].strip().split(delimiter)
    padded = (
        {"skipinitialspace": True} if all(c[:1] == " " for c in cells[1:]) and cells[1:] else {}
    )
    if all(re.fullmatch(r"\s*'[^']*'\s*", cell) for cell in cells):
        return padded | {"quotechar": "'"}
    sample = text[:_SAMPLE]
    if '\\"' in sample and '""' not in sample:
        return padded | {"doublequote": False, "escapechar": "\\"}
    return padded
