"""A circuit as it is drawn: layers from left to right, attention above, MLPs below, edges as arcs.

An edge between two attentions or two MLPs bows outward, so that no edge lies on another. What is
on no way from the input to the logits carries nothing, and is drawn faint.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.formats import number
from app.pages.explore._canvas import INPUT, LOGITS, Canvas, words_of

MOST = 300
"""Edges that are drawn: more are a felt in which none is seen."""
NARROWEST, WIDEST, ROOM = 32.0, 88.0, 1000.0
"""Between two layers, and what all of them together should not be much wider than."""
BOW, MOST_BOW = 16.0, 88.0
LANE = 132.0
"""Between the row of attentions and that of MLPs."""
RADIUS = 11.5
Place = tuple[float, float]


@dataclass(frozen=True)
class Arc:
    """An edge, or all edges between two groups. `rank` 0 is the largest."""

    sender: str
    reader: str
    path: str
    words: str
    score: float
    rank: int
    width: float
    depth: float
    is_on: bool
    is_live: bool
    edge: str
    """The largest edge in it, as an address names it."""

    @property
    def tone(self) -> str:
        """Whether it speaks for the answer or against it."""
        return "up" if self.score > 0 else "down"


@dataclass(frozen=True)
class Dot:
    """A node, or a collapsed group of them."""

    name: str
    members: tuple[str, ...]
    label: str
    words: str
    x: float
    y: float
    score: float
    depth: float
    is_on: bool
    is_pinned: bool
    is_chosen: bool
    is_live: bool
    is_group: bool

    @property
    def tone(self) -> str:
        """Whether what leaves it speaks for the answer or against it."""
        return "up" if self.score > 0 else "down"


@dataclass(frozen=True)
class Ring:
    """The frame around an open group."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Drawn:
    """One canvas."""

    title: str
    width: float
    height: float
    arcs: tuple[Arc, ...]
    dots: tuple[Dot, ...]
    rings: tuple[Ring, ...]
    layers: tuple[tuple[float, str], ...]
    top: float
    """The height of the row of attentions."""
    n_dead: int
    n_undrawn: int

    @property
    def bottom(self) -> float:
        """The height of the row of MLPs."""
        return self.top + LANE


@dataclass(frozen=True)
class Scored:
    """An edge with its score, and how far pairs differ in it."""

    sender: str
    reader: str
    score: float
    spread: float = 0.0

    @property
    def name(self) -> str:
        """As an address names it."""
        return f"{self.sender}-{self.reader}"


def live(edges: Iterable[Scored]) -> set[str]:
    """The nodes on some way from the input to the logits."""
    known = list(edges)

    def reached(start: str, ways: list[tuple[str, str]]) -> set[str]:
        found, new = {start}, [start]
        while new:
            here = new.pop()
            for one in (to for of, to in ways if of == here and to not in found):
                found.add(one)
                new.append(one)
        return found

    ahead = reached(INPUT, [(e.sender, e.reader) for e in known])
    return ahead & reached(LOGITS, [(e.reader, e.sender) for e in known])


def kept_nodes(edges: Sequence[Scored], canvas: Canvas, size: int) -> tuple[str, ...]:
    """The nodes of the circuit that are shown and carry something, in the order of layers."""
    found = live(edges[:size]) - set(canvas.hidden)
    return tuple(sorted(found - {INPUT, LOGITS}, key=_order))


def draw(
    title: str, edges: Sequence[Scored], n_layers: int, canvas: Canvas, size: int, unit: str
) -> Drawn:
    """Draw the largest edges; of those beyond the circuit's size it is said that they are off."""
    step = min(WIDEST, max(NARROWEST, ROOM / (n_layers + 2.5)))
    homes = {m: one.name for one in canvas.groups if one.is_collapsed for m in one.members}
    shown = [e for e in edges if not {e.sender, e.reader} & set(canvas.hidden)]
    reach = max(1.0, step * n_layers)
    top = 30.0 + _bow(reach, reach)
    places = _places(n_layers, step, top, canvas)
    alive = live(edges[:size])
    ranks = {e.name: rank for rank, e in enumerate(edges)}
    arcs = _arcs(shown, homes, places, alive, ranks, size, unit, reach)
    dots = _dots(shown, homes, places, alive, canvas, ranks, size, unit)
    return Drawn(
        title=title,
        width=round(step * (n_layers + 2.5)),
        height=round(top + LANE + _bow(reach, reach) + 48),
        arcs=tuple(arcs),
        dots=tuple(dots),
        rings=tuple(_rings(canvas, places, {d.name for d in dots if d.is_on})),
        layers=tuple((round(step * (1.75 + k), 1), str(k)) for k in range(n_layers)),
        top=top,
        n_dead=sum(not {e.sender, e.reader} <= alive for e in edges[:size]),
        n_undrawn=max(0, size - MOST),
    )


def _order(node: str) -> tuple[float, str]:
    layer, _, kind = node.partition(".")
    return {INPUT: -1.0, LOGITS: 1e9}.get(node) or float(layer or 0), kind


def _places(n_layers: int, step: float, top: float, canvas: Canvas) -> dict[str, Place]:
    """Where every node and collapsed group is; an MLP stands right of its layer's attention."""
    middle = top + LANE / 2
    found: dict[str, Place] = {INPUT: (step * 0.6, middle)}
    found[LOGITS] = (step * (n_layers + 1.95), middle)
    for layer in range(n_layers):
        found[f"{layer}.attn"] = (step * (1.5 + layer), top)
        found[f"{layer}.mlp"] = (step * (2.0 + layer), top + LANE)
    for place, one in enumerate(canvas.groups):
        members = [found[m] for m in one.members if m in found]
        if one.is_collapsed and members:
            x, y = (sum(axis) / len(members) for axis in zip(*members, strict=True))
            # Groups of the same layers do not cover each other.
            found[one.name] = (x, 0.4 * middle + 0.6 * y + 14 * (place % 3 - 1))
    return found


def _bow(span: float, reach: float) -> float:
    return float(min(MOST_BOW, BOW + (MOST_BOW - BOW) * (span / reach) ** 0.7))


def _path(a: Place, b: Place, reach: float, rows: tuple[float, float]) -> str:
    """A curve; outward where both ends are in one row."""
    (x, y), (u, v) = a, b
    third = (u - x) / 3
    if abs(y - v) < 1 and y in rows:
        rise = 1.33 * _bow(abs(u - x), reach) * (-1 if y == rows[0] else 1)
        c, d = (x + third / 2, y + rise), (u - third / 2, v + rise)
    else:
        c, d = (x + 1.4 * third, y), (u - 1.4 * third, v)
    return f"M{x:.1f} {y:.1f}C{c[0]:.1f} {c[1]:.1f} {d[0]:.1f} {d[1]:.1f} {u:.1f} {v:.1f}"


def _arcs(
    edges: Sequence[Scored],
    homes: Mapping[str, str],
    places: Mapping[str, Place],
    alive: set[str],
    ranks: Mapping[str, int],
    size: int,
    unit: str,
    reach: float,
) -> list[Arc]:
    joined: dict[tuple[str, str], list[Scored]] = {}
    for one in edges:
        if ranks[one.name] < max(MOST, 1):
            ends = homes.get(one.sender, one.sender), homes.get(one.reader, one.reader)
            if ends[0] != ends[1]:
                joined.setdefault(ends, []).append(one)
    rows = places["0.attn"][1], places["0.mlp"][1]
    sums = {ends: _sum(some, ranks, size) for ends, some in joined.items()}
    most = max(map(abs, sums.values()), default=1.0) or 1.0
    found = []
    for (a, b), some in joined.items():
        score, rank = sums[a, b], min(ranks[e.name] for e in some)
        share = abs(score) / most
        found.append(
            Arc(
                sender=a,
                reader=b,
                path=_path(places[a], places[b], reach, rows),
                words=_arc_words(a, b, some, score, unit),
                score=score,
                rank=rank,
                width=round(1 + 5 * share, 2),
                depth=round(0.4 + 0.55 * share, 2),
                is_on=rank < size,
                is_live=any({e.sender, e.reader} <= alive for e in some),
                edge=min(some, key=lambda e: ranks[e.name]).name,
            )
        )
    return sorted(found, key=lambda arc: -arc.rank)  # the largest lie above


def _sum(some: Sequence[Scored], ranks: Mapping[str, int], size: int) -> float:
    """The score of what is in the circuit; of all where nothing is."""
    inside = [e.score for e in some if ranks[e.name] < size] or [e.score for e in some]
    return sum(inside)


def _arc_words(a: str, b: str, some: Sequence[Scored], score: float, unit: str) -> str:
    ends = f"{_end(a)} → {_end(b)}"
    spread = f" ± {number(some[0].spread)}" if len(some) == 1 and some[0].spread else ""
    more = f", {len(some)} edges together" if len(some) > 1 else ""
    return f"{ends}: {'+' if score > 0 else ''}{number(score)}{spread} {unit}{more}"


def _end(name: str) -> str:
    return words_of(name) if _is_node(name) else name


def _is_node(name: str) -> bool:
    return name in (INPUT, LOGITS) or name.endswith((".attn", ".mlp"))


def _dots(
    edges: Sequence[Scored],
    homes: Mapping[str, str],
    places: Mapping[str, Place],
    alive: set[str],
    canvas: Canvas,
    ranks: Mapping[str, int],
    size: int,
    unit: str,
) -> list[Dot]:
    groups = {one.name: one.members for one in canvas.groups if one.is_collapsed}
    inside = [e for e in edges if ranks[e.name] < size]
    reached = {end for e in inside for end in (e.sender, e.reader)}
    sums: dict[str, float] = {}
    for one in inside:
        sender, reader = homes.get(one.sender, one.sender), homes.get(one.reader, one.reader)
        if sender != reader:
            sums[sender] = sums.get(sender, 0.0) + one.score
            if reader == LOGITS:
                sums[LOGITS] = sums.get(LOGITS, 0.0) + one.score
    most = max(map(abs, sums.values()), default=1.0) or 1.0
    found = []
    for name, (x, y) in places.items():
        if name in homes or name in canvas.hidden:
            continue
        members = groups.get(name, (name,))
        pinned = bool(set(members) & set(canvas.pinned))
        score = sums.get(name, 0.0)
        chosen = bool(set(members) & set(canvas.nodes))
        ends = name in (INPUT, LOGITS)
        is_on = pinned or chosen or ends or name in groups or name in reached
        words = _group_words(name, members) if name in groups else _end(name)
        what = "enters" if name == LOGITS else "leaves"
        found.append(
            Dot(
                name=name,
                members=members,
                label=_label(name),
                words=f"{words[0].upper()}{words[1:]}: {number(score)} {unit} {what} it",
                x=round(x, 1),
                y=round(y, 1),
                score=score,
                depth=round(0.12 + 0.6 * abs(score) / most, 2) if score else 0.0,
                is_on=is_on,
                is_pinned=pinned,
                is_chosen=chosen,
                is_live=bool(set(members) & alive),
                is_group=name in groups,
            )
        )
    return sorted(found, key=lambda dot: (dot.x, dot.y))


def _group_words(name: str, members: Sequence[str]) -> str:
    return f"group {name}, {len(members)} node{'s' if len(members) > 1 else ''}"


def _label(name: str) -> str:
    if name in (INPUT, LOGITS):
        return {INPUT: "in", LOGITS: "out"}[name]
    return name.partition(".")[0] if _is_node(name) else name


def _rings(canvas: Canvas, places: Mapping[str, Place], shown: set[str]) -> Iterable[Ring]:
    for one in canvas.groups:
        spots = [places[m] for m in one.members if m in shown]
        if one.is_collapsed or not spots:
            continue
        xs, ys = zip(*spots, strict=True)
        room = RADIUS + 7
        yield Ring(
            one.name,
            min(xs) - room,
            min(ys) - room,
            max(xs) - min(xs) + 2 * room,
            max(ys) - min(ys) + 2 * room,
        )


def scored_edges(listed: Sequence[Mapping[str, Any]]) -> list[Scored]:
    """The edges of an answer, the largest first."""
    return [Scored(e["from"], e["to"], float(e["score"]), float(e["spread"])) for e in listed]
