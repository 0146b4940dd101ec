"""Where words begin and end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.contract.words import is_boundary


def cut(text: str) -> list[str]:
    """A text in pieces, at every boundary."""
    places = [i for i in range(1, len(text)) if is_boundary(text, i)]
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("old Rome", ["old", " ", "Rome"]),
        ("a_1b.", ["a_1b", "."]),
        ("cafe\u0301s", ["cafe\u0301s"]),
        ("ne\u0301", ["ne\u0301"]),
        ("東京都", ["東", "京", "都"]),
        ("x東", ["x", "東"]),
        ("東x", ["東", "x"]),
        ("トム", ["トム"]),
        ("トム東", ["トム", "東"]),
        ("東トム", ["東", "トム"]),
        ("\U0001f468\u200d\U0001f469", ["\U0001f468\u200d\U0001f469"]),
        ("\u2764\ufe0f!", ["\u2764\ufe0f", "!"]),
        (
            "\U0001f44b\U0001f3fb\U0001f44b\U0001f3ff",
            ["\U0001f44b\U0001f3fb", "\U0001f44b\U0001f3ff"],
        ),
        ("\U0001f44b\U0001f400", ["\U0001f44b", "\U0001f400"]),
        ("!!", ["!", "!"]),
    ],
)
def test_a_text_is_cut_between_its_words_and_signs(text: str, pieces: list[str]) -> None:
    assert cut(text) == pieces


@given(st.text(max_size=8))
@settings(derandomize=True, max_examples=50)
def test_a_text_begins_and_ends_with_a_boundary(text: str) -> None:
    assert is_boundary(text, 0)
    assert is_boundary(text, len(text))
