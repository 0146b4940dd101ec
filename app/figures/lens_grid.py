"""The lens of one prompt: token rows × layer columns, one number per cell."""

from collections.abc import Mapping

import numpy as np

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.words import show_token
from worker.contract.result import Result

SHADES = {
    "probability": "probability of the likeliest",
    "target": "probability of the target",
    "rank": "rank of the target",
    "entropy": "entropy",
    "divergence": "divergence from the end",
}
AFTER = {"mlp": "after each block", "attn": "after each attention", "both": "after both"}


def offers(result: Result) -> list[Offer]:
    """One offer where the result is a lens."""
    if "lens.probability" not in result.arrays:
        return []
    controls = (
        Control("shade", "Shade", tuple(SHADES.items()), "probability"),
        Control("after", "Read", tuple(AFTER.items()), "mlp"),
    )
    return [Offer("lens_grid", "What each layer would say", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the number and the rows of the residual stream that are asked for."""
    shade, after = choose(ask, "shade", list(SHADES)), choose(ask, "after", list(AFTER))
    info, view = source.info(f"lens.{shade}"), source.result.view
    rows = info.axes[0].labels or ()
    shown = [i for i, row in enumerate(rows) if is_shown(row, after)]
    values = source.array(f"lens.{shade}")[shown].T
    first, end = view["positions"]
    prompt = next(one for one in view["prompts"] if one["name"] == view["which"])
    tokens = prompt["tokens"][first:end]
    names = view["vocabulary"]
    words = [
        [show_token(str(names[str(view["top"][i][j][0])])) for i in shown]
        for j in range(len(tokens))
    ]
    least = 1.0 if shade in ("probability", "target") else 0.0
    return draw_grid(
        Grid(
            title=f"{SHADES[shade].capitalize()}, token × layer",
            caption=(
                f"The likeliest next token if the model stopped there, read through the final norm "
                f"and the unembedding ({AFTER[after]}); shade: {SHADES[shade]}. "
                f"Prompt: {prompt['text']}"
            ),
            rows=Side(
                "token",
                tuple(f"{first + i} {show_token(one['text'])}" for i, one in enumerate(tokens)),
                bold=frozenset(i for i, one in enumerate(tokens) if one["subject"]),
            ),
            columns=Side("layer", tuple(rows[i] for i in shown), numbered=False, upright=True),
            values=np.asarray(values, float),
            colours=Colours.over([values], info.unit or SHADES[shade], False, least),
            value_title=SHADES[shade],
            names=np.array(words),
        )
    )


def is_shown(row: str, after: str) -> bool:
    """Whether a row of the residual stream (`embed`, `0.attn`, `0.mlp`, …) is among the asked."""
    return after == "both" or row == "embed" or row.endswith(f".{after}")
