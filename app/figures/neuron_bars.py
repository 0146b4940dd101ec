"""The neurons of one MLP that move the answer most, as bars."""

from collections.abc import Mapping

from app.drawing.bars import draw_bars
from app.drawing.drawing import Drawing, Offer, Source
from worker.contract.result import Result, Table

COLUMNS = ("neuron", "activation", "direct", "attribution", "zeroed")


def offers(result: Result) -> list[Offer]:
    """One offer where the result holds neurons."""
    if result.spec.get("view") != "neurons":
        return []
    return [Offer("neuron_bars", "Neurons")]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw direct effect and the exact change when each is set to zero."""
    rows = source.result.view["neurons"]
    title = "Neurons that move the answer most"
    cells = tuple(
        (*(row.get(name) for name in COLUMNS), " ".join(one["token"] for one in row["promoted"]))
        for row in rows
    )
    return draw_bars(
        title=title,
        caption="Direct effect on the logit difference at the token, and the change at the last "
        "token when the neuron is set to zero.",
        labels=[str(row["neuron"]) for row in rows],
        series={
            "direct": [row.get("direct") for row in rows],
            "set to zero": [row.get("zeroed") for row in rows],
        },
        unit="logit difference",
        cells=Table(title=title, columns=(*COLUMNS, "promotes"), rows=cells),
    )
