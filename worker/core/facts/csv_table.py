"""Facts from a CSV file: delimiter, quoting and byte-order mark are found, columns by name."""

import csv
import io
from collections.abc import Mapping

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts._rows import read_rows

TITLE = "CSV"
ENDINGS = (".csv", ".tsv", ".txt")


def read(data: bytes, mapping: Mapping[str, str]) -> ReadFacts:
    """Read a CSV with a header row; raise UserError when it is none."""
    text = decode(data)
    csv.field_size_limit(10_000_000)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        header = [column.strip() for column in next(reader, [])]
        if len(header) != len(set(header)):
            twice = next(c for c in header if header.count(c) > 1)
            raise UserError(f"The column {twice[:60]!r} occurs twice; rename one.", field="file")
        rows = ((n, dict(zip(header, row, strict=False))) for n, row in enumerate(reader, 2) if row)
        return read_rows(rows, header, mapping, TITLE)
    except csv.Error as error:
        raise UserError(f"This is no CSV file: {error}. Check its quotes.", field="file") from None


def decode(data: bytes) -> str:
    """Decode UTF-8 (or UTF-16 with a byte-order mark); raise UserError that says where it fails."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        byte = data[error.start : error.start + 1].hex()
        raise UserError(
            f"The file is not UTF-8: byte 0x{byte} at position {error.start:,}. "
            f"Save it as UTF-8 and upload it again.",
            field="file",
        ) from None
    if "\x00" in text:
        raise UserError(
            f"The file holds a NUL character at position {text.index(chr(0)):,}; expected text.",
            field="file",
        )
    if not text.strip():
        raise UserError("The file is empty; expected a header row and facts.", field="file")
    return text


def _delimiter(text: str) -> str:
    header = text.split("\n", 1)[0]
    return max(",;\t", key=header.count)
