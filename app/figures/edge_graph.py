"""The largest edges between components as a graph: layers from left to right, lines by score.

Senders and readers of one component share its node: a head's queries, keys and values are read at
the head (under grouped-query attention at the first head of the group). Width and opacity follow
|score|; positive edges are solid and orange, negative ones dashed and blue, so that the sign does
not hang on colour alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.formats import number
from worker.contract.result import Result, Table

ARRAY = "edges"
SIZES = ("25", "10", "50", "100", "200")
"""Numbers of edges that can be drawn; the first is drawn at first."""
COLOURS = {True: "#d06a1c", False: "#3f82c9"}
"""Positive and negative; both stand at 3:1 against the ground of either theme."""
BINS = 5
_HEAD = re.compile(r"^blocks\.(\d+)\.attn\.(head|kv)\.(\d+)(?:\.([qkv]))?$")
_MLP = re.compile(r"^blocks\.(\d+)\.mlp$")


@dataclass(frozen=True)
class Edge:
    """One scored edge between two named ends."""

    sender: str
    reader: str
    score: float


@dataclass(frozen=True)
class Node:
    """A component's place: `x` is its layer (attention before MLP), `y` its head."""

    name: str
    label: str
    x: float
    y: float


def offers(result: Result) -> list[Offer]:
    """One offer where the result scores edges."""
    if ARRAY not in result.arrays or result.attribution is None:
        return []
    controls = (Control("top", "Edges", tuple((n, f"the largest {n}") for n in SIZES), SIZES[0]),)
    return [Offer("edge_graph", "Largest edges as a graph", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the edges with the largest |score|."""
    attribution, info = source.result.attribution, source.info(ARRAY)
    assert attribution is not None
    senders, readers = info.axes[0].labels or (), info.axes[1].labels or ()
    n = int(choose(ask, "top", SIZES))
    edges = largest_edges(source.array(ARRAY).astype(float), senders, readers, n)
    nodes = place(senders)
    group = _group(senders, readers)
    ends = [(nodes[edge.sender], nodes[_at(edge.reader, group)]) for edge in edges]
    used = {node.name: node for pair in ends for node in pair}
    columns = ("from", "to", f"score ({info.unit})")
    rows = tuple((edge.sender, edge.reader, edge.score) for edge in edges)
    n_layers = 1 + max(int(node.x) for node in nodes.values() if node.name not in _ENDS)
    tallest = max(node.y for node in nodes.values())
    title = f"The {len(edges)} largest edges"
    return Drawing(
        title=title,
        caption=(
            f"{len(edges)} of {int(np.count_nonzero(source.array(ARRAY)))} edges, by |score|, "
            f"means over {len(attribution.facts)} facts, in {info.unit}. An edge runs from what "
            f"one component writes to what another reads; layers run from left to right, heads "
            f"upwards, the MLP of a layer stands right of its attention. Solid orange edges speak "
            f"for the answer, dashed blue ones against it; width follows |score|. Readers q, k and "
            f"v of a head end at its node."
        ),
        traces=[*_lines(edges, ends), _hovers(edges, ends, info.unit), _dots(list(used.values()))],
        layout={
            "xaxis": _layer_axis(n_layers),
            "yaxis": {
                "visible": False,
                "range": [-1.2, tallest + 1.2],
                "fixedrange": True,
                "zeroline": False,
            },
            "height": int(min(900, max(360, 120 + 34 * tallest))),
        },
        table=Table(
            title=title,
            columns=columns,
            rows=tuple((sender, reader, number(score)) for sender, reader, score in rows),
        ),
        cells=Table(title=title, columns=columns, rows=rows),
        min_width=max(480, 120 + 64 * n_layers),
    )


def largest_edges(
    scores: NDArray[np.float64], senders: Sequence[str], readers: Sequence[str], n: int
) -> list[Edge]:
    """The `n` edges with the largest |score|, largest first; edges of score 0 are none."""
    order = np.argsort(-np.abs(scores), axis=None, kind="stable")[:n]
    found = [divmod(int(index), scores.shape[1]) for index in order]
    return [Edge(senders[i], readers[j], float(scores[i, j])) for i, j in found if scores[i, j]]


_ENDS = ("input", "logits")


def place(senders: Sequence[str]) -> dict[str, Node]:
    """Place every component; input left of layer 0, logits right of the last layer."""
    heads = [found for name in senders if (found := _HEAD.match(name))]
    mlps = [int(found[1]) for name in senders if (found := _MLP.match(name))]
    tallest = max((int(found[3]) for found in heads), default=0)
    last = max(mlps, default=0)
    nodes = {
        found[0]: Node(found[0], f"{found[1]}.{found[3]}", int(found[1]), 1.0 + int(found[3]))
        for found in heads
    }
    nodes |= {f"blocks.{k}.mlp": Node(f"blocks.{k}.mlp", f"M{k}", k + 0.5, 0.0) for k in mlps}
    middle = (1 + tallest) / 2
    nodes["input"] = Node("input", "in", -0.75, middle)
    nodes["logits"] = Node("logits", "out", last + 1.25, middle)
    return nodes


def _group(senders: Sequence[str], readers: Sequence[str]) -> int:
    """How many heads share a key and value head; 1 where every head has its own."""
    heads = [int(found[3]) for name in senders if (found := _HEAD.match(name))]
    shared = [int(m[3]) for name in readers if (m := _HEAD.match(name)) and m[2] == "kv"]
    return (max(heads) + 1) // (max(shared) + 1) if shared and heads else 1


def _at(reader: str, group: int) -> str:
    """The node at which a reader reads."""
    found = _HEAD.match(reader)
    if found is None:
        return reader
    head = int(found[3]) * (group if found[2] == "kv" else 1)
    return f"blocks.{found[1]}.attn.head.{head}"


def _lines(edges: Sequence[Edge], ends: Sequence[tuple[Node, Node]]) -> list[dict[str, Any]]:
    """One trace per sign and width; small edges first, so that large ones lie above them."""
    most = max((abs(edge.score) for edge in edges), default=1.0)
    traces = []
    for step in range(BINS):
        for sign in (True, False):
            x: list[float | None] = []
            y: list[float | None] = []
            for edge, (a, b) in zip(edges, ends, strict=True):
                size = min(BINS - 1, int(BINS * abs(edge.score) / most))
                if size == step and (edge.score > 0) == sign:
                    x += [a.x, b.x, None]
                    y += [a.y, b.y, None]
            if x:
                share = (step + 1) / BINS
                line = {"width": 1 + 5 * share, "color": COLOURS[sign]}
                line |= {"dash": "solid" if sign else "dash"}
                look = {"line": line, "opacity": 0.45 + 0.5 * share, "hoverinfo": "skip"}
                traces.append({"type": "scatter", "mode": "lines", "x": x, "y": y, **look})
    return traces


def _hovers(edges: Sequence[Edge], ends: Sequence[tuple[Node, Node]], unit: str) -> dict[str, Any]:
    """Unseen points along every edge that say its names and score."""
    x, y, text = [], [], []
    for edge, (a, b) in zip(edges, ends, strict=True):
        for share in (0.25, 0.5, 0.75):
            x.append(round(a.x + share * (b.x - a.x), 3))
            y.append(round(a.y + share * (b.y - a.y), 3))
            text.append(f"{edge.sender} → {edge.reader}<br><b>{edge.score:+.3g} {unit}</b>")
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "text": text,
        "marker": {"size": 12, "opacity": 0},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _dots(nodes: Sequence[Node]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [node.x for node in nodes],
        "y": [node.y for node in nodes],
        "text": [node.label for node in nodes],
        "customdata": [node.name for node in nodes],
        "textposition": "top center",
        "marker": {"size": 9, "color": "#8a919c", "line": {"width": 0}},
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _layer_axis(n_layers: int) -> dict[str, Any]:
    return {
        "title": {"text": "layer", "standoff": 8},
        "tickmode": "array",
        "tickvals": list(range(n_layers)),
        "ticktext": [str(i) for i in range(n_layers)],
        "range": [-1.2, n_layers + 0.6],
        "automargin": True,
        "fixedrange": True,
        "zeroline": False,
        "showgrid": True,
    }
