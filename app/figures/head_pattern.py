"""Where one head looks: query token × key token, raw or weighted by the values' norms."""

from collections.abc import Mapping

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.words import show_token
from worker.contract.result import Result

WEIGHED = {"pattern": "attention", "weighted": "attention × norm of the value"}


def offers(result: Result) -> list[Offer]:
    """One offer where the result is of one head."""
    if not (known := prompts(result)):
        return []
    controls = (
        Control("weigh", "Weighted", tuple(WEIGHED.items()), "pattern"),
        Control("which", "Prompt", tuple((name, name) for name in known), known[0]),
    )
    return [Offer("head_pattern", "Where the head looks", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the pattern on one prompt."""
    weigh = choose(ask, "weigh", list(WEIGHED))
    which = choose(ask, "which", prompts(source.result))
    values = source.array(f"head.{weigh}.{which}")
    prompt = next(p for p in source.result.view["prompts"] if p["name"] == which)
    labels = tuple(f"{i} {show_token(one['text'])}" for i, one in enumerate(prompt["tokens"]))
    bold = frozenset(i for i, one in enumerate(prompt["tokens"]) if one["subject"])
    n_rows, n_columns = values.shape
    return draw_grid(
        Grid(
            title=f"Where the head looks, {which} prompt",
            caption=f"Rows are the tokens that look, columns those that are looked at: "
            f"{WEIGHED[weigh]}.",
            rows=Side("query", labels[-n_rows:], bold=bold),
            columns=Side("key", labels[:n_columns], bold=bold, upright=True),
            values=values,
            colours=Colours.over([values], WEIGHED[weigh], False),
            value_title=WEIGHED[weigh],
        )
    )


def prompts(result: Result) -> list[str]:
    """The prompts on which the head was looked at."""
    return [name for name in ("clean", "corrupted") if f"head.pattern.{name}" in result.arrays]
