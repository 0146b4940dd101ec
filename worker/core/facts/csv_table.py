"""Facts from a CSV file: encoding, delimiter and quoting are found, columns by name."""

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.contract.texts import Decoded
from worker.contract.texts import decode as decode_text
from worker.core.facts._rows import check_columns, read_rows

TITLE = "CSV"
ENDINGS = (".csv", ".tsv", ".txt")
_SAMPLE = 200_000
"""Characters in which quoting is looked for."""


def read(data: bytes, mapping: Mapping[str, str]) -> ReadFacts:
    """Read a CSV with a header row; raise UserError when it is none."""
    decoded = decode(data)
    text = decoded.text
    delimiter = _delimiter(text)
    quoting = _quoting(text, delimiter)
    csv.field_size_limit(10_000_000)
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, strict=True, **quoting
        )
        header = [column.strip() for column in next(reader, [])]
        check_columns(header)  # before rows become dictionaries, which hide equal names
        rows = ((n, dict(zip(header, row, strict=False))) for n, row in enumerate(reader, 2) if row)
        found = read_rows(rows, header, mapping, TITLE)
    except csv.Error as error:
        raise UserError(f"This is no CSV file: {error}. Check its quotes.", field="file") from None
    return with_encoding(found, decoded).model_copy(
        update={"delimiter": delimiter, "quote": quoting.get("quotechar", "")}
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


def _delimiter(text: str) -> str:
    """The one that the header has most often outside of quotes."""
    header = re.sub(r"\"[^\"]*\"", "", text.lstrip().split("\n", 1)[0])
    return max(",;\t|", key=header.count)


def _quoting(text: str, delimiter: str) -> dict[str, Any]:
    """How cells are quoted, where not by doubled double quotes."""
    cells = text.lstrip().split("\n", 1)[0].strip().split(delimiter)
    if all(re.fullmatch(r"\s*'[^']*'\s*", cell) for cell in cells):
        return {"quotechar": "'"}
    sample = text[:_SAMPLE]
    if '\\"' in sample and '""' not in sample:
        return {"doublequote": False, "escapechar": "\\"}
    return {}
