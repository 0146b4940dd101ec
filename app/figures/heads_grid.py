"""Every head of a prompt by one number: layer × head."""

from collections.abc import Mapping

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from worker.contract.result import Result

BY = {
    "direct": "direct contribution",
    "patching": "effect of patching it",
    "attention": "attention from the last token to the subject",
    "mover": "contribution from the subject's tokens",
    "previous": "previous-token score",
    "duplicate": "duplicate-token score",
    "induction": "induction score",
}
SIGNED = ("direct", "mover", "patching")
PATCHED = "patch.head.logit_diff"
"""The array of a map of patches that tells the effect of every head's."""


def offers(result: Result) -> list[Offer]:
    """One offer where the result tells of heads."""
    if "heads.direct" not in result.arrays:
        return []
    known = numbers(result)
    control = Control("by", "By", tuple((name, BY[name]) for name in known), known[0])
    return [Offer("heads_grid", "Heads", controls=(control,))]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the number that is asked for."""
    by = choose(ask, "by", numbers(source.result))
    values, info = source.array(array_of(by)), source.info(array_of(by))
    if by == "patching":
        values = values - unpatched(source.result)
    layers, heads = values.shape
    return draw_grid(
        Grid(
            title=f"Heads by {BY[by]}",
            caption=f"Each cell is one head's {BY[by]} on this prompt. "
            f"{source.result.view.get('sharing', '')}".strip(),
            rows=Side("layer", tuple(map(str, range(layers))), numbered=False),
            columns=Side("head", tuple(map(str, range(heads))), numbered=False),
            values=values,
            colours=Colours.over([values], info.unit or BY[by], by in SIGNED),
            value_title=BY[by],
            name_format="blocks.{row}.attn.head.{column}",
        )
    )


def numbers(result: Result) -> list[str]:
    """The numbers that this result has of every head."""
    return [name for name in BY if array_of(name) in result.arrays]


def array_of(by: str) -> str:
    """The array that holds a number."""
    return PATCHED if by == "patching" else f"heads.{by}"


def unpatched(result: Result) -> float:
    """The logit difference of the run into which heads are patched."""
    into = "corrupted" if result.view["direction"] == "denoising" else "clean"
    return float(result.view["metrics"]["logit_diff"][into])
