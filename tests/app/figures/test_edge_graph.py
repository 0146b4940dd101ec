"""The graph of the largest edges, and heads by position, by names, places and values."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw, offers
from app.figures.edge_graph import place
from worker.contract.errors import UserError
from worker.contract.result import ArrayInfo, Axis

SENDERS = (
    "input",
    "blocks.0.attn.head.0",
    "blocks.0.attn.head.1",
    "blocks.0.mlp",
    "blocks.1.attn.head.0",
    "blocks.1.attn.head.1",
    "blocks.1.mlp",
)
READERS = (
    "blocks.0.attn.head.0.q",
    "blocks.0.mlp",
    "blocks.1.attn.head.1.q",
    "blocks.1.attn.kv.0.v",
    "blocks.1.mlp",
    "logits",
)


def with_array(source: Source, name: str, values: np.ndarray, axes: tuple[Axis, ...]) -> Source:
    info = ArrayInfo(file="more.npz", axes=axes, unit="logit", signed=True)
    result = source.result.model_copy(update={"arrays": {**source.result.arrays, name: info}})
    made = Source(result, source.open)
    made._files["more.npz"] = {name: values}
    return made


@pytest.fixture
def edges(localization: Source) -> Source:
    scores = np.zeros((len(SENDERS), len(READERS)))
    for sender, reader, score in (
        ("blocks.0.mlp", "blocks.1.attn.kv.0.v", 2.0),
        ("blocks.1.attn.head.1", "logits", -1.0),
        ("input", "blocks.0.mlp", 0.5),
    ):
        scores[SENDERS.index(sender), READERS.index(reader)] = score
    axes = (Axis(name="sender", labels=SENDERS), Axis(name="reader", labels=READERS))
    return with_array(localization, "edges", scores, axes)


def test_the_largest_edges_are_lines_between_their_components(edges: Source) -> None:
    drawing = draw("edge_graph", edges, {})
    plot = drawing.figure()
    assert [row[:2] for row in drawing.cells.rows] == [
        ("blocks.0.mlp", "blocks.1.attn.kv.0.v"),
        ("blocks.1.attn.head.1", "logits"),
        ("input", "blocks.0.mlp"),
    ]
    lines = [trace for trace in plot["data"] if trace["mode"] == "lines"]
    widest = max(lines, key=lambda trace: trace["line"]["width"])
    assert widest["x"] == [0.5, 1, None] and widest["line"]["dash"] == "solid"
    (against,) = [trace for trace in lines if trace["line"]["dash"] == "dash"]
    assert against["x"][0] == 1 and against["y"][0] == 2  # layer 1, head 1
    assert against["line"]["color"] != widest["line"]["color"]
    hover = next(trace for trace in plot["data"] if trace["mode"] == "markers")
    assert "blocks.0.mlp → blocks.1.attn.kv.0.v<br><b>+2 logit</b>" in hover["text"]


def test_fewer_edges_can_be_asked_for_and_others_than_offered_are_refused(edges: Source) -> None:
    assert draw("edge_graph", edges, {"top": "10"}).title == "The 3 largest edges"
    with pytest.raises(UserError, match="No top '7'"):
        draw("edge_graph", edges, {"top": "7"})
    (offer,) = [one for one in offers(edges.result) if one.figure == "edge_graph"]
    assert [value for value, _ in offer.controls[0].choices] == ["25", "10", "50", "100", "200"]


def test_layers_run_from_left_to_right_between_input_and_logits() -> None:
    nodes = place(SENDERS)
    order = ["input", "blocks.0.attn.head.0", "blocks.0.mlp", "blocks.1.attn.head.1", "logits"]
    assert [nodes[name].x for name in order] == sorted(nodes[name].x for name in order)
    assert (
        nodes["blocks.0.attn.head.1"].y > nodes["blocks.0.attn.head.0"].y > nodes["blocks.0.mlp"].y
    )


def test_heads_stand_at_every_token(localization: Source) -> None:
    labels = tuple(f"blocks.{i}.attn.head.{h}" for i in range(4) for h in range(2))
    values = np.zeros((2, 8, 11))
    values[0, 5, 6] = 0.9
    axes = (Axis(name="fact"), Axis(name="head", labels=labels), Axis(name="position"))
    source = with_array(localization, "positions.head", values, axes)
    plot = draw("head_positions", source, {}).figure()
    assert plot["layout"]["xaxis"]["ticktext"][5] == "2.1"
    assert plot["data"][0]["z"][6][5] == pytest.approx(0.9)
    layer = draw("head_positions", source, {"heads": "2"}).figure()
    assert layer["layout"]["xaxis"]["ticktext"] == ["2.0", "2.1"]
    assert layer["data"][0]["customdata"][0] == ["blocks.2.attn.head.0", "blocks.2.attn.head.1"]
