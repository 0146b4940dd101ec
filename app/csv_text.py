"""Writes CSV, here and nowhere else, so that no cell is a formula to the spreadsheet that opens it.

A cell that a spreadsheet would compute gets an apostrophe before it (OWASP, CSV Injection), also
where a sign follows what some spreadsheets take for the end of a cell. Numbers stay numbers.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from starlette.responses import StreamingResponse

from app.downloads import attachment

PIECE = 65536
"""Characters that are sent together."""
_SIGNS = "=+\\-@＝＋－＠"
_FORMULA = re.compile(rf"(?:^|(?<=[;\t\r\n|]))(?=[\s\ufeff]*[{_SIGNS}])|^(?=[\t\r])")
_HARMLESS = re.compile(rf"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[{_SIGNS}]")
"""A number, or a sign alone."""


def respond(rows: Iterable[Sequence[Any]], filename: str) -> StreamingResponse:
    """Answer with rows, the first of which is the header, as a file of this name."""
    pieces = (piece.encode("utf-8", "replace") for piece in write(rows))
    return StreamingResponse(
        pieces, media_type="text/csv; charset=utf-8", headers=attachment(filename)
    )


def write(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Write rows as CSV, a piece at a time; None is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)  # ends lines as RFC 4180 does, and so quotes each of \r and \n
    for row in rows:
        writer.writerow([inert(cell) for cell in row])
        if buffer.tell() > PIECE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def inert(cell: Any) -> Any:
    """A cell as it may be written: text that a spreadsheet would compute becomes plain text."""
    if not isinstance(cell, str) or _HARMLESS.fullmatch(cell):
        return cell
    return _FORMULA.sub("'", cell)
