"""How tokens and components are written on axes."""

import html

SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "Ġ": "␣", "▁": "␣", "Ċ": "⏎"}
"""Whitespace, and the signs by which tokenizers mark it, as the reader sees them."""


def show_token(token: str) -> str:
    """Write a token so that its spaces are seen; the empty token is ∅."""
    return "".join(SHOWN.get(letter, letter) for letter in token) or "∅"


def plotly_text(text: str, bold: bool = False) -> str:
    """Escape a text for plotly, which reads a subset of HTML in labels."""
    escaped = html.escape(text, quote=False)
    return f"<b>{escaped}</b>" if bold else escaped
