import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from app.csv_text import PIECE, inert, write

ROOT = Path(__file__).parents[2]
EVIL = '=HYPERLINK("http://evil.example";"x")'
DANGEROUS = re.compile(r"[\s\ufeff]*[=+\-@＝＋－＠]|[\t\r]")


@pytest.mark.parametrize(
    "cell",
    [
        EVIL,
        "+1+cmd|' /C calc'!A0",
        "-1-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "  =1",
        "\ufeff=1",
        "＝1+1",
        "-e1",
        "1;=2+2",
        "a\t=2",
        "a\n@b",
    ],
)
def test_what_a_spreadsheet_would_compute_becomes_text(cell: str) -> None:
    [read] = next(csv.reader(io.StringIO("".join(write([[cell]])), newline="")))
    assert len(read.replace("'", "")) == len(cell.replace("'", ""))
    assert not any(DANGEROUS.match(part) for part in re.split(r"[;\t\r\n]", read) if part)


@pytest.mark.parametrize(
    "cell", ["-3", "+0.5", "-1.5e-07", "-", "", "a-b", "x = y", "'=", None, -2.5, 7, "São", "−4"]
)
def test_numbers_and_plain_words_stay_as_they_are(cell: Any) -> None:
    assert inert(cell) == cell


def test_long_tables_come_in_pieces_and_whole() -> None:
    rows = [[n, "word " * 20] for n in range(2000)]
    pieces = list(write(rows))
    assert len(pieces) > 2 and max(map(len, pieces)) < 2 * PIECE
    read = csv.reader(io.StringIO("".join(pieces), newline=""))
    assert list(read) == [[str(n), w] for n, w in rows]


def test_csv_is_written_in_one_place() -> None:
    """Another writer would forget the formulas."""
    writers = re.compile(r"\bcsv\.(writer|DictWriter)\b|\.to_csv\(")
    sources = [*ROOT.glob("app/**/*.py"), *ROOT.glob("worker/**/*.py")]
    assert len(sources) > 200
    found = [p.relative_to(ROOT) for p in sources if writers.search(p.read_text(encoding="utf-8"))]
    assert found == [Path("app/csv_text.py")]


def test_no_header_is_made_of_a_name_but_in_one_place() -> None:
    """A name in a Content-Disposition that is not cleaned could end the header."""
    sources = ROOT.glob("app/**/*.py")
    found = [
        p.relative_to(ROOT)
        for p in sources
        if "Content-Disposition" in p.read_text(encoding="utf-8")
    ]
    assert found == [Path("app/downloads.py")]
