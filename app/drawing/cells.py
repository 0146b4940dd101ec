"""Grids of cells as tables show them: token rows, layer columns, one shade per cell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.words import show_token
from app.formats import number

Values = NDArray[np.float64]
DEEP = (("d1", 57), ("d2", 58), ("d3", 77), ("d4", 96))
"""Classes of cells whose shade is so deep, in per cent, that the text's colour is turned around: on
the dark theme's blue and orange, on the light theme's blue and orange. On either side the text has
a contrast of 4.5 (WCAG 1.4.3)."""

MANY = 14
"""Columns beyond which cells are narrow and a grid takes the page's whole width."""


@dataclass(frozen=True)
class Cell:
    """One cell; `at` is what a click chooses, `tip` what hovering shows, one line each."""

    at: str
    text: str
    value: str
    share: int
    """Per cent of the range, by which it is shaded."""
    below: bool = False
    """A negative value, which has a hue of its own."""
    tip: str = ""

    @property
    def tone(self) -> str:
        """Its classes."""
        deep = [name for name, least in DEEP if self.share >= least]
        nil = ["nil"] if self.text == "0" else []
        return " ".join([*deep, *(["below"] if self.below else []), *nil])


@dataclass(frozen=True)
class Row:
    """One row: a token of the prompt, or a layer."""

    place: int
    label: str
    cells: tuple[Cell, ...]
    marked: bool = False
    tip: str = ""
    """What hovering over any of its cells shows, where they have no tip of their own."""


@dataclass(frozen=True)
class Panel:
    """One grid, of one model or of the difference between two."""

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    signed: bool = False
    is_narrow: bool = False
    """Whether its cells are narrow, so that much stands beside one another."""

    @property
    def is_wide(self) -> bool:
        """Whether it needs the page's whole width."""
        return len(self.columns) > MANY


@dataclass(frozen=True)
class Shade:
    """How values become shades. `share` gives numbers from -1 to 1."""

    words: str
    share: Callable[[Values], Values]
    signed: bool = False
    range: str = ""
    """In words, what the deepest shade stands for."""


def token_rows(tokens: Sequence[Mapping[str, Any]], first: int = 0) -> list[tuple[int, str, bool]]:
    """Place, label and mark of the rows of a prompt's tokens."""
    return [
        (first + i, show_token(str(one["text"])), bool(one.get("subject")))
        for i, one in enumerate(tokens)
    ]


def panel(
    title: str,
    rows: Sequence[tuple[int, str, bool]],
    columns: Sequence[str],
    values: Values,
    shade: Shade,
    at: Callable[[int, int], str],
    *,
    texts: Callable[[int, int], str] | None = None,
    tips: Callable[[int, int], str] | None = None,
    row_tips: Sequence[str] = (),
    corner: str = "token",
    is_narrow: bool = False,
) -> Panel:
    """Make a grid of values (row, column); a value that is none leaves its cell empty."""
    is_narrow = is_narrow or len(columns) > MANY
    shares = np.clip(np.nan_to_num(shade.share(values)), -1, 1)
    return Panel(
        title=title,
        corner=corner,
        columns=tuple(columns),
        signed=shade.signed,
        is_narrow=is_narrow,
        rows=tuple(
            Row(
                place,
                label,
                tuple(
                    Cell(
                        at=at(i, j),
                        text=texts(i, j) if texts else short(values[i, j], is_narrow),
                        value=number(float(values[i, j])),
                        share=round(abs(float(shares[i, j])) * 100),
                        below=bool(shares[i, j] < 0),
                        tip=tips(i, j) if tips else "",
                    )
                    for j in range(values.shape[1])
                ),
                marked,
                row_tips[i] if row_tips else "",
            )
            for i, (place, label, marked) in enumerate(rows)
        ),
    )


def difference(shade: Shade, before: Values, after: Values) -> Shade:
    """How the change from one grid to the other is shaded, on the range of both."""
    change = shade.share(after) - shade.share(before)
    return Shade(f"change of the {shade.words}", lambda _: change, True, shade.range)


def over(words: str, arrays: Sequence[Values], signed: bool = False) -> Shade:
    """The shade whose range holds all arrays: one range, so that panels can be compared."""
    sizes = [np.abs(a[np.isfinite(a)]) for a in arrays]
    extent = max((float(s.max()) for s in sizes if s.size), default=0.0) or 1.0
    return Shade(words, lambda v: v / extent, signed, f"{'±' if signed else ''}{number(extent)}")


def short(value: float, is_narrow: bool = False) -> str:
    """A value in a cell's few letters; a narrow one has no room for the zero before the point."""
    if not np.isfinite(value):
        return ""
    if abs(value) < 0.005:  # 0.00 and −0.00 would look like something with a sign
        return "0"
    steps = (0.995, 9.95) if is_narrow else (100, 100)
    digits = 2 if abs(value) < steps[0] else 1 if abs(value) < steps[1] else 0
    words = f"{value:.{digits}f}".replace("-", "−")
    return words.replace("0.", ".", 1) if is_narrow else words


@dataclass(frozen=True)
class Panels:
    """The panels of one figure: one model's, or base, difference and edited on one range."""

    panels: tuple[Panel, ...]
    shade: Shade
    problems: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
