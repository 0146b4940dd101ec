"""The likeliest next tokens of each prompt, as bars."""

from collections.abc import Mapping

from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.words import plotly_text, show_token
from app.formats import number
from worker.contract.result import Result, Table

ROW, AROUND = 24, 90
"""Pixels of one bar, and of what stands around them."""


def offers(result: Result) -> list[Offer]:
    """One offer where the result holds predictions."""
    if result.spec.get("view") != "predictions":
        return []
    return [Offer("top_tokens", "The likeliest next tokens")]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the top-k of every prompt."""
    top = source.result.view["top"]
    names = list(dict.fromkeys(row["prompt"] for row in top))
    labels = [f"{show_token(row['token'])} ({row['prompt']})" for row in top]
    traces = []
    for name in names:
        rows = [(i, row) for i, row in enumerate(top) if row["prompt"] == name]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": [i for i, _ in rows],
                "x": [row["probability"] for _, row in rows],
                "customdata": [[plotly_text(labels[i]), row["logit"]] for i, row in rows],
                "hovertemplate": "%{customdata[0]}<br>probability %{x:.3g}<br>"
                "logit %{customdata[1]:.3g}<extra></extra>",
            }
        )
    columns = ("prompt", "token", "id", "probability", "logit", "rank")
    cells = [tuple(row[c] + 1 if c == "rank" else row[c] for c in columns) for row in top]
    title = "The likeliest next tokens"
    return Drawing(
        title=title,
        caption="Probability of each prompt's likeliest next tokens.",
        traces=traces,
        layout={
            "xaxis": {"title": {"text": "probability"}, "range": [0, 1], "fixedrange": True},
            "yaxis": {
                "tickmode": "array",
                "tickvals": list(range(len(top))),
                "ticktext": [plotly_text(label) for label in labels],
                "range": [len(top) - 0.5, -0.5],
                "automargin": True,
                "fixedrange": True,
            },
            "height": AROUND + ROW * len(top),
            "showlegend": len(names) > 1,
        },
        table=Table(
            title=title,
            columns=columns,
            rows=tuple(
                tuple(number(c) if isinstance(c, float) else c for c in row) for row in cells
            ),
        ),
        cells=Table(title=title, columns=columns, rows=tuple(cells)),
    )
