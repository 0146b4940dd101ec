"""Cells of a grid: their text can be read on every shade."""

import re
from pathlib import Path

import pytest

from app.drawing.cells import Cell

CSS = (Path(__file__).parents[3] / "static" / "lethe.css").read_text(encoding="utf-8")
PAPER, BLUE, ORANGE = "--figure-paper", "--figure-1", "--figure-2"
INK = {"light": ((0, 0, 0), (255, 255, 255)), "dark": ((255, 255, 255), (0, 0, 0))}
"""Theme -> the text's colour, and what it is turned into."""
TURNED = {
    ("light", BLUE): "d3", ("light", ORANGE): "d4", ("dark", BLUE): "d1", ("dark", ORANGE): "d2",
}  # fmt: skip
"""Theme and hue -> the class from which on the stylesheet turns the text's colour."""

Colour = tuple[int, int, int]


def colour(name: str, theme: str) -> Colour:
    """A variable of the stylesheet; the light theme's is said first."""
    values = re.findall(rf"{name}: #([0-9a-f]{{6}});", CSS)
    found = values[0 if theme == "light" else 1]
    return int(found[:2], 16), int(found[2:4], 16), int(found[4:], 16)


def lightness(one: Colour) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [(v / 255) / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in one]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("theme", "hue"), list(TURNED))
def test_text_has_its_contrast_on_every_shade(theme: str, hue: str) -> None:
    paper, full = colour(PAPER, theme), colour(hue, theme)
    for share in range(101):
        classes = Cell("", "x", "", share, below=hue == BLUE).tone.split()
        text = INK[theme][TURNED[theme, hue] in classes]
        ground = [
            round(a * share / 100 + b * (1 - share / 100)) for a, b in zip(full, paper, strict=True)
        ]
        low, high = sorted((lightness(text), lightness((ground[0], ground[1], ground[2]))))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{hue} at {share} % in the {theme} theme"


def test_the_stylesheet_turns_colours_where_the_test_says() -> None:
    light, dark = ':root:not([data-theme="dark"])', ':root[data-theme="dark"]'
    for theme, blue, orange in ((light, "d3", "d4"), (dark, "d1", "d2")):
        assert f"{theme} table.cells td.{blue} {{ color: var(--cell-turned); }}" in CSS
        unturned = f"{theme} table.cells.signed td.{blue}:not(.below, .{orange})"
        assert f"{unturned} {{ color: var(--cell-ink); }}" in CSS
