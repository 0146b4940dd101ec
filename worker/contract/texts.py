"""Texts: what is known of a stored one, how bytes become one, and the pieces it is shown in."""

import re
from datetime import datetime

from worker.contract.base import Contract
from worker.contract.errors import UserError

BUNDLED = "saga"
"""The name of the text that ships with Lethe; no stored text may take it."""
MAX_BYTES = 20_000_000
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_FILES = ((b"%PDF", "a PDF"), (b"PK\x03\x04", "a zip file or an office document"))
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1f\x7f]")


class TextInfo(Contract):
    """One stored text."""

    name: str
    hash: str
    """SHA-256 of the text in UTF-8."""
    n_characters: int
    n_words: int
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
    high = sum(byte > 127 for byte in data)
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
    """Read a plain text or Markdown file as a text to forget; UserError in words otherwise."""
    if len(data) > MAX_BYTES:
        raise UserError(
            f"The text has {len(data) / 1e6:.1f} MB; expected at most {MAX_BYTES / 1e6:.0f} MB. "
            f"Bring it in parts.",
            field="file",
        )
    found = decode(data)
    text = found.text.replace("\r\n", "\n").replace("\r", "\n")
    if control := _CONTROL.search(text):
        raise UserError(
            f"The file holds the control character U+{ord(control[0]):04X} at position "
            f"{control.start():,}; expected text. Save it as plain text.",
            field="file",
        )
    if filename.lower().endswith((".md", ".markdown")):
        text = without_marks(text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    if len(text.split()) < 20:
        raise UserError(
            f"The text has {len(text.split())} words; expected at least 20, from which a model "
            f"could have learned something.",
            field="file",
        )
    return found.model_copy(update={"text": text})


_MARKDOWN = (
    (re.compile(r"\A---\n.*?\n---\n", re.DOTALL), ""),
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r"^(```|~~~).*$", re.MULTILINE), ""),
    (re.compile(r"^ {0,3}#{1,6} +|^ {0,3}> ?|^ {0,3}(?:[-*_] ?){3,}$", re.MULTILINE), ""),
    (re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)"), r"\1"),
    (re.compile(r"(\*\*|__|\*|`)(?=\S)([^\n]{1,500}?)(?<=\S)\1"), r"\2"),
)


def without_marks(text: str) -> str:
    """Take Markdown's marks out, so that a model is not trained on them: a best effort."""
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return text


def chunks(text: str, size: int = 1200) -> list[str]:
    """Cut a text at the ends of paragraphs, else of sentences, into pieces of about `size`."""
    pieces: list[str] = []
    for paragraph in text.split("\n\n"):
        for number, part in enumerate(_parts(paragraph, size)):
            if pieces and len(pieces[-1]) + len(part) < size:
                pieces[-1] += (" " if number else "\n\n") + part
            else:
                pieces.append(part)
    return [piece for piece in pieces if piece.strip()]


def _parts(paragraph: str, size: int) -> list[str]:
    """A paragraph whole, or its sentences; what has no end within `size` is cut there."""
    if len(paragraph) <= size:
        return [paragraph]
    sentences = re.split(r"(?<=[.!?…])\s+", paragraph)
    return [one[at : at + size] for one in sentences for at in range(0, len(one), size)]
