"""Single tokens in words, as they stand in running text."""

from __future__ import annotations

from collections.abc import Iterable

from worker.core.models.model import Model

_WORD_START = "\u2581"
"""SentencePiece's mark of a space, which its decoder drops from a token that stands alone."""
_BROKEN = "\ufffd"


def token_text(model: Model, token: int) -> str:
    """Give one token's text with its space; a part of a character by the tokenizer's own name."""
    name = str(model.tokenizer.convert_ids_to_tokens(token))
    text = str(model.tokenizer.decode([token]))
    if name.startswith(_WORD_START) and not text.startswith(" "):
        text = " " + text
    return name if _BROKEN in text or not text else text


def vocabulary(model: Model, tokens: Iterable[int]) -> dict[str, str]:
    """Map each token's id, as JSON's keys are text, to its text."""
    return {str(token): token_text(model, token) for token in sorted(set(tokens))}
