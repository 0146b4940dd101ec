"""A circuit's edges as a grid of senders by readers; the CSV holds every edge in its order."""

import numpy as np

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.circuit_edges import offers
from tests.app.figures.conftest import info, source

SENDERS, READERS = ("input", "0.attn", "0.mlp"), ("0.attn", "0.mlp", "logits")
SCORES = np.array([[0.5, -2.0, 0.0], [0.0, 1.0, 0.25], [0.0, 0.0, 3.0]])


def made() -> Source:
    infos = {"circuit.edges": info(("sender", "reader"), sender=SENDERS, reader=READERS)}
    plain = source("explore", {"circuit.edges": SCORES}, infos)
    order = [(2, 2), (0, 1), (1, 1), (0, 0), (1, 2), (0, 2)]
    edges = [
        {"from": SENDERS[i], "to": READERS[j], "score": float(SCORES[i, j]), "spread": 0.5}
        for i, j in order
    ]
    return Source(plain.result.model_copy(update={"view": {"edges": edges}}), plain.open)


def test_where_no_edge_leads_there_is_no_cell_and_an_edge_of_no_score_is_one() -> None:
    drawing = draw("circuit_edges", made(), {})
    [heatmap] = drawing.figure()["data"]
    drawn = [list(row) for row in heatmap["z"]]
    assert drawn[0] == [0.5, -2.0, 0.0] and drawn[2] == [None, None, 3.0]
    header, *rows = drawing.rows()
    assert list(header)[:3] == ["rank", "from", "to"]
    assert list(rows[0][:4]) == [1, "0.mlp", "logits", "3"] and len(rows) == 6


def test_only_a_circuit_has_the_figure(localization: Source) -> None:
    assert [one.figure for one in offers(made().result)] == ["circuit_edges"]
    assert offers(localization.result) == []
