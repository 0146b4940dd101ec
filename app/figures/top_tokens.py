"""The likeliest next tokens of each prompt, as bars."""

from collections.abc import Mapping

from app.drawing.bars import draw_bars
from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.words import show_token
from worker.contract.result import Result, Table


def offers(result: Result) -> list[Offer]:
    """One offer where the result holds predictions."""
    if result.spec.get("view") != "predictions":
        return []
    return [Offer("top_tokens", "The likeliest next tokens")]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the top-k of every prompt."""
    top = source.result.view["top"]
    columns = ("prompt", "token", "id", "probability", "logit", "rank")
    cells = [tuple(row[c] + 1 if c == "rank" else row[c] for c in columns) for row in top]
    names = dict.fromkeys(row["prompt"] for row in top)
    title = "The likeliest next tokens"
    return draw_bars(
        title=title,
        caption="Probability of each prompt's likeliest next tokens.",
        labels=[f"{show_token(row['token'])} ({row['prompt']})" for row in top],
        series={
            name: [row["probability"] if row["prompt"] == name else None for row in top]
            for name in names
        },
        unit="probability",
        cells=Table(title=title, columns=columns, rows=tuple(cells)),
        span=(0, 1),
    )
