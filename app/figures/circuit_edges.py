"""A circuit's edges: every sender by every reader, shaded by score; its CSV has one row each."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.formats import number
from worker.contract.result import Result, Table

ARRAY = "circuit.edges"
READ = 100
"""Edges of the table for reading; the CSV has all."""


def offers(result: Result) -> list[Offer]:
    """One offer where the result is a circuit."""
    return [Offer("circuit_edges", "Edges of the circuit")] if ARRAY in result.arrays else []


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw all edges; where a sender does not come before a reader there is none."""
    info, values = source.info(ARRAY), source.array(ARRAY).astype(float)
    senders, readers = info.axes[0].labels or (), info.axes[1].labels or ()
    edges = source.result.view["edges"]
    is_edge = np.zeros(values.shape, bool)
    for one in edges:
        is_edge[senders.index(one["from"]), readers.index(one["to"])] = True
    title = f"Scores of the {number(len(edges))} largest edges"
    drawing = draw_grid(
        Grid(
            title=title,
            caption=(
                f"Rows send, columns read, in {info.unit}: what the sender’s change adds along the "
                f"slope at the reader’s input, averaged on the way between the prompts (EAP-IG)."
            ),
            rows=Side("sender", senders),
            columns=Side("reader", readers, upright=True),
            values=np.where(is_edge, values, np.nan),
            colours=Colours.over([values], info.unit, True),
            value_title=info.unit,
        )
    )
    columns = ("rank", "from", "to", f"score ({info.unit})", "spread over pairs")
    rows = tuple(
        (place, one["from"], one["to"], one["score"], one["spread"])
        for place, one in enumerate(edges, 1)
    )
    read = tuple((*row[:3], number(row[3]), number(row[4])) for row in rows[:READ])
    return replace(
        drawing,
        table=Table(title=title, columns=columns, rows=read),
        cells=Table(title=title, columns=columns, rows=rows),
    )
