"""What every component adds to a logit, as bars that sum to it."""

from collections.abc import Mapping

from app.drawing.ask import choose
from app.drawing.bars import draw_bars
from app.drawing.drawing import Control, Drawing, Offer, Source
from worker.contract.result import Result, Table

OF = {
    "difference": "target less distractor",
    "target": "target",
    "distractor": "distractor",
}


def offers(result: Result) -> list[Offer]:
    """One offer where the result is a decomposition."""
    if not (known := parts(result)):
        return []
    control = Control("of", "Logit of", tuple((name, OF[name]) for name in known), known[0])
    return [Offer("decomposition_bars", "Where the logit comes from", controls=(control,))]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the parts of the logit that is asked for."""
    of = choose(ask, "of", parts(source.result))
    name = f"decomposition.{of}"
    labels = source.info(name).axes[0].labels or ()
    values = source.array(name).tolist()
    told = source.result.view["sums"][of]
    title = f"Direct logit attribution, {OF[of]}"
    return draw_bars(
        title=title,
        caption=f"The bars sum to {told['sum']:.4g}; the logit is {told['logit']:.4g}.",
        labels=labels,
        series={OF[of]: values},
        unit="logit",
        cells=Table(
            title=title,
            columns=("component", "logit"),
            rows=tuple(zip(labels, values, strict=True)),
        ),
    )


def parts(result: Result) -> list[str]:
    """The logits that were decomposed."""
    return [name for name in OF if f"decomposition.{name}" in result.arrays]
