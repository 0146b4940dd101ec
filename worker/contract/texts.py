"""Texts: what is known of a stored one, how bytes become one, and the pieces it is shown in."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from worker.contract.base import Contract
from worker.contract.errors import UserError
from worker.contract.projects import Visibility
from worker.contract.text_records import ENDINGS as JSON_ENDINGS
from worker.contract.text_records import texts_of

_MARKED = (".md", ".markdown")
ENDINGS = (".txt", *_MARKED, *JSON_ENDINGS)
"""Of a file's name; every other is read as plain text."""
BUNDLED = "saga"
"""The name of the text that ships with Lethe; no stored text may take it."""
MAX_BYTES = 20_000_000
PIECE = 1200
"""Characters of a piece in which a text is shown, at most."""
_PARAGRAPH, _SENTENCE = re.compile(r"\n\n"), re.compile(r"(?<=[.!?…])\s+")
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_FILES = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip file or an office document"),
    (b"PAR1", "a Parquet table"),
)
_HIGH = bytes(range(128, 256))
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1f\x7f]")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


class TextInfo(Contract):
    """One stored text."""

    name: str
    hash: str
    """SHA-256 of the text in UTF-8."""
    n_characters: int
    n_words: int
    owner: str = ""
    """Who brought it, on a shared server."""
    project: str = ""
    visibility: Visibility = "server"
    created: datetime


class Decoded(Contract):
    """Bytes as text, and the encoding that was found."""

    text: str
    encoding: str
    note: str = ""
    """What a reader should look at because the encoding is a guess."""


def decode(data: bytes) -> Decoded:
    """Decode a file: byte-order marks, UTF-8, bare UTF-16, and Windows-1252 where it fits.

    Raises UserError for anything else, which says where it fails.
    """
    for start, what in _FILES:
        if data.startswith(start):
            raise UserError(
                f"The file is {what}; expected text. Save it as plain text in UTF-8.", field="file"
            )
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    encoding = encoding or _bare_utf16(data) or "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and _is_windows(data):
            return _windows(data)
        byte = data[error.start : error.start + 1].hex()
        raise UserError(
            f"The file is not {encoding.removesuffix('-sig').upper()}: byte 0x{byte} at position "
            f"{error.start:,}. Save it as UTF-8 and upload it again.",
            field="file",
        ) from None
    if "\x00" in text:
        raise UserError(
            f"The file holds a NUL character at position {text.index(chr(0)):,}; expected text.",
            field="file",
        )
    return Decoded(text=text, encoding=encoding.removesuffix("-sig"))


def _bare_utf16(data: bytes) -> str:
    """UTF-16 without a mark: of mostly Latin text, every other byte is zero."""
    sample = data[:2000]
    n = len(sample) // 2
    if n < 8 or len(data) % 2:
        return ""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 0.7 * n and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * n and odd == 0 else ""


def _is_windows(data: bytes) -> bool:
    """Whether bytes that are not UTF-8 read well as Windows-1252.

    Not where some of them are well-formed UTF-8 (then the file is damaged), nor with 0xFF, which
    stands in damaged files far more often than as a ÿ.
    """
    high = len(data) - len(data.translate(None, _HIGH))
    if b"\xff" in data or high > 0.2 * len(data) or not data.decode("utf-8", "ignore").isascii():
        return False
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return b"\x00" not in data


def _windows(data: bytes) -> Decoded:
    note = (
        "The file is not UTF-8; it was read as Windows-1252. Look at its accented letters and "
        "quotation marks; if they are wrong, save it as UTF-8 and bring it again."
    )
    return Decoded(text=data.decode("cp1252"), encoding="windows-1252", note=note)


def read_text(data: bytes, filename: str) -> Decoded:
    """Read a text to forget: plain, Markdown, or texts in JSON; UserError in words otherwise."""
    if len(data) > MAX_BYTES:
        raise UserError(
            f"The text has {len(data) / 1e6:.1f} MB; expected at most {MAX_BYTES / 1e6:.0f} MB. "
            f"Bring it in parts.",
            field="file",
        )
    found = decode(data)
    text = texts_of(found.text, filename).replace("\r\n", "\n").replace("\r", "\n")
    if _NO_TEXT.search(text):
        raise UserError(
            "The file holds a NUL character or half of a character as an escape; expected text.",
            field="file",
        )
    if control := _CONTROL.search(text):
        raise UserError(
            f"The file holds the control character U+{ord(control[0]):04X} at position "
            f"{control.start():,}; expected text. Save it as plain text.",
            field="file",
        )
    if filename.lower().endswith(_MARKED):
        text = without_marks(text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    if len(text.split()) < 20:
        raise UserError(
            f"The text has {len(text.split())} words; expected at least 20, from which a model "
            f"could have learned something.",
            field="file",
        )
    return found.model_copy(update={"text": text})


# None looks further than the next of its own beginnings: what begins a million times and never
# ends is read once, not a million times.
_MARKDOWN = (
    (re.compile(r"\A---\n.*?\n---\n", re.DOTALL), ""),
    (re.compile(r"<!--(?:(?!<!--).)*?-->", re.DOTALL), ""),
    (re.compile(r"^(```|~~~).*$", re.MULTILINE), ""),
    (re.compile(r"^ {0,3}#{1,6} +|^ {0,3}> ?|^ {0,3}(?:[-*_] ?){3,}$", re.MULTILINE), ""),
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^)\[\n]*\)"), r"\1"),
    (re.compile(r"(\*\*|__|\*|`)(?=\S)((?:(?!\1)[^\n]){1,500})(?<=\S)\1"), r"\2"),
)


def without_marks(text: str) -> str:
    """Take Markdown's marks out, so that a model is not trained on them: a best effort."""
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return text


def piece_bounds(text: str, size: int = PIECE) -> list[tuple[int, int]]:
    """Cut a text at the ends of paragraphs, else of sentences, into pieces of at most `size`.

    Each piece is a slice of the text, from its first character to past its last; between two lies
    nothing but whitespace.
    """
    found: list[tuple[int, int]] = []
    for start, stop in _parts(text, size):
        if found and stop - found[-1][0] <= size:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def _parts(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Paragraphs, or sentences of long ones; what has no end within `size` is cut there."""
    for start, stop in _between(_PARAGRAPH, text, 0, len(text)):
        if stop - start <= size:
            yield start, stop
            continue
        for begin, end in _between(_SENTENCE, text, start, stop):
            cuts = ((at, min(at + size, end)) for at in range(begin, end, size))
            yield from (cut for cut in cuts if not text[slice(*cut)].isspace())


def _between(ends: re.Pattern[str], text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The stretches between the matches of `ends`, without those of whitespace alone."""
    gaps = [(gap.start(), gap.end()) for gap in ends.finditer(text, start, stop)]
    for (_, begin), (end, _) in pairwise([(start, start), *gaps, (stop, stop)]):
        if not text[begin:end].isspace() and begin < end:
            yield begin, end
