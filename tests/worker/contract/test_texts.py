"""Bytes as texts: encodings found, Markdown's marks taken out, and pieces for a preview."""

import pytest

from worker.contract.errors import UserError
from worker.contract.texts import MAX_BYTES, decode, piece_bounds, read_text, without_marks

STORY = "Zoë met the keeper’s wolf – and the wolf “knew” her. " * 10


@pytest.mark.parametrize(
    ("codec", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "windows-1252"),
    ],
)
def test_encodings_are_found_with_and_without_a_mark(codec: str, found: str) -> None:
    read = decode(STORY.encode(codec))
    assert (read.text, read.encoding) == (STORY, found)
    assert bool(read.note) == (found == "windows-1252")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (STORY.encode()[:-1] + b"\xe2\x80", "not UTF-8"),
        (STORY.encode().replace(b" ", b"\x99", 1), "not UTF-8"),
        (b"%PDF-1.7 " + STORY.encode(), "a PDF"),
        (b"PK\x03\x04" + STORY.encode(), "office document"),
        (STORY.encode() + b"\x00", "NUL"),
        (STORY.encode() + b"\x07", r"U\+0007"),
        (b"", "0 words"),
        (b"one two three", "3 words"),
        (b"a " * (MAX_BYTES // 2 + 1), "expected at most 20 MB"),
        ("日本語の文".encode("shift_jis") * 50, "not UTF-8"),
        (bytes(range(1, 256)) * 9, "not UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_in_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read_text(data, "story.txt")
    assert caught.value.message.endswith(".")


def test_markdown_is_read_without_its_marks() -> None:
    text = "---\ntitle: x\n---\n# One\n\n> A **bold** [link](http://a.b) and `code`.\n\n***\n"
    text += "<!-- no -->"
    assert without_marks(text).split() == ["One", "A", "bold", "link", "and", "code."]
    kept = read_text(f"# Title\n\n{STORY}".encode(), "story.MD").text
    assert kept.startswith("Title\n\nZoë")
    assert read_text(f"# Title\n\n{STORY}".encode(), "story.txt").text.startswith("# Title")


def test_a_text_is_cut_at_paragraphs_and_sentences() -> None:
    text = "\n\n".join(["A short one."] * 3 + ["Word by word. " * 40, "x" * 250])
    pieces = [text[start:stop] for start, stop in piece_bounds(text, 100)]
    assert all(len(piece) <= 100 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert pieces[0].count("A short one.") == 3
    assert all(piece.endswith(".") for piece in pieces[:-4])


@pytest.mark.parametrize(
    "text", ["", " \n\n ", "one", "\n\n a \n\n\n\nb", "x" * 3000, f"a{' ' * 5000}b", "a. " * 3000]
)
def test_nothing_but_whitespace_lies_between_the_pieces_of_a_text(text: str) -> None:
    done = 0
    for start, stop in piece_bounds(text):
        assert done <= start < stop <= start + 1200
        assert not text[done:start].strip() and text[start:stop].strip()
        done = stop
    assert not text[done:].strip()


@pytest.mark.parametrize("mark", ["<!--", "[", "[](", "![", "*a `", "**a", "> ", "```", "- - "])
def test_marks_that_never_end_are_read_in_one_pass(mark: str) -> None:
    """Each of 400,000 would otherwise look through all that follow it, which takes hours."""
    text = mark * 400_000
    assert without_marks(text).count("a") == text.count("a")
