"""Faithfulness and completeness by a circuit's size, as the lines of a small drawing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.formats import number
from app.pages.explore._circuit import Share

WIDTH, HEIGHT = 380.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 34.0, 372.0, 10.0, 158.0
NAMES = ("faithfulness", "completeness")


@dataclass(frozen=True)
class Point:
    """A circuit that was run."""

    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Line:
    """One share of one model."""

    name: str
    title: str
    is_second: bool
    path: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Curve:
    """The drawing; `here` is where the drawn circuit's size lies."""

    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    here: float
    n_edges: int
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM


def curve(shares: Sequence[Sequence[Share]], titles: Sequence[str], size: int, n: int) -> Curve:
    """Draw every model's lines over the number of edges, on a log scale."""
    values = [getattr(one, name) for own in shares for one in own for name in NAMES]
    low, high = float(min(0.0, *values)), float(max(1.0, *values))

    def x(edges: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * math.log(max(edges, 1)) / math.log(max(n, 2)), 1)

    def y(share: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (share - low) / (high - low), 1)

    lines = [
        _line(own, name, title if len(shares) > 1 else "", place, x, y)
        for place, (own, title) in enumerate(zip(shares, titles, strict=False))
        for name in NAMES
    ]
    tens = [10**k for k in range(9) if 10**k <= n]
    ends = [*(one for one in tens if one == 1 or 2.5 * one < n), n]
    return Curve(
        lines=tuple(lines),
        across=tuple((x(one), number(one)) for one in ends),
        up=tuple((y(v), f"{v:.3g}".replace("-", "−")) for v in _ticks(low, high)),
        here=x(size),
        n_edges=n,
    )


def _ticks(low: float, high: float) -> list[float]:
    """Nothing, half and all of the difference, and the ends where these are well apart."""
    apart = 0.1 * (high - low)
    ends = [low] if low < -apart else []
    return [*ends, 0.0, 0.5, 1.0, *([high] if high > 1 + apart else [])]


def _line(
    shares: Sequence[Share],
    name: str,
    title: str,
    place: int,
    x: Callable[[int], float],
    y: Callable[[float], float],
) -> Line:
    points = tuple(
        Point(
            x(one.n_edges),
            y(getattr(one, name)),
            f"{number(one.n_edges)} edges: {name} {number(float(getattr(one, name)))}",
        )
        for one in shares
    )
    path = "M" + "L".join(f"{p.x} {p.y}" for p in points)
    return Line(name, title, place > 0, path, points)
