"""The lens grid: what every layer would say at every token, read through the final norm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.drawing.ask import choose
from app.drawing.cells import (
    Panel,
    Panels,
    Shade,
    Values,
    difference,
    over,
    panel,
    token_rows,
)
from app.drawing.words import show_token
from app.figures.lens_grid import AFTER, SHADES, is_shown
from app.formats import number
from worker.contract.result import ArrayInfo, Axis, Result

WHICH = {"clean": "clean prompt", "corrupted": "corrupted prompt"}
WHOLE_BLOCKS = (
    "This model's residual stream is not the sum of what its components write, so it is read after "
    "whole blocks only."
)
NUMBERS = ("probability", "target", "rank", "entropy", "divergence")
WINDOW = 64
"""Tokens that a grid shows at once."""
NOTHING = -1
"""In place of a token's id where nothing is read yet."""
ENDING = {"attn": "After attention", "mlp": "After MLP"}


@dataclass(frozen=True)
class Lens:
    """One model's lens, by rows of the residual stream."""

    result: Result

    def values(self, name: str) -> Values:
        """An array (row, token)."""
        return np.array(self.result.arrays[f"lens.{name}"].values, float)

    @property
    def rows(self) -> tuple[str, ...]:
        """Where in the model each row was read: `embed`, `0.attn`, `0.mlp`, …"""
        return self.result.arrays["lens.probability"].axes[0].labels or ()

    @property
    def first(self) -> int:
        """The first token that is shown."""
        return int(self.result.view["positions"][0])

    @property
    def tokens(self) -> list[dict[str, Any]]:
        """The tokens that are shown."""
        name = self.result.view["which"]
        prompt = next(p for p in self.result.view["prompts"] if p["name"] == name)
        first, end = self.result.view["positions"]
        found: list[dict[str, Any]] = prompt["tokens"][first:end]
        return found

    def top(self, row: int, token: int) -> list[tuple[str, float]]:
        """The likeliest tokens of a cell with their probabilities."""
        ids = self.result.view["top"][row][token]
        shares = (self.result.arrays["lens.top"].values or [])[row][token]
        names = self.result.view["vocabulary"]
        return [(str(names[str(id)]), float(p)) for id, p in zip(ids, shares, strict=True)]


def lens_panels(found: list[Result], titles: list[str], ask: Mapping[str, str]) -> Panels:
    """The grids of one model, or of two and their difference, on one range."""
    name, after = choose(ask, "shade", list(SHADES)), choose(ask, "after", list(AFTER))
    sides = [Lens(result) for result in found]
    shown = [i for i, row in enumerate(sides[0].rows) if is_shown(row, after)]
    values = [side.values(name).T[:, shown] for side in sides]
    shade = _shade(name, values)
    made = [
        _panel(side, title, shown, v, shade)
        for side, title, v in zip(sides, titles, values, strict=True)
    ]
    if len(made) == 2:
        change = values[1] - values[0]
        made.insert(1, _change(sides, shown, change, difference(shade, *values)))
    has_parts = after == "mlp" or any(row.endswith(".attn") for row in sides[0].rows)
    problems = () if has_parts else (WHOLE_BLOCKS,)
    return Panels(tuple(made), shade, problems, {"first": sides[0].first, "of": _length(found[0])})


def _length(result: Result) -> int:
    name = result.view["which"]
    return next(len(p["tokens"]) for p in result.view["prompts"] if p["name"] == name)


def _shade(name: str, values: list[Values]) -> Shade:
    words = SHADES[name]
    if name in ("probability", "target"):
        return Shade(words, lambda v: v, range="1")
    if name == "rank":
        most = max(float(np.nanmax(v)) for v in values) + 2
        return Shade(words, lambda v: 1 - np.log(v + 1) / np.log(most), range="rank 1")
    found = over(words, values)
    return Shade(words, found.share, range=f"{found.range} nats")


def _panel(side: Lens, title: str, shown: list[int], values: Values, shade: Shade) -> Panel:
    return panel(
        title,
        token_rows(side.tokens, side.first),
        [column(side.rows[i]) for i in shown],
        values,
        shade,
        lambda i, j: f"{layer_of(side.rows[shown[j]])}.{side.first + i}",
        texts=lambda i, j: show_token(side.top(shown[j], i)[0][0]),
        tips=lambda i, j: "\n".join(
            f"{show_token(word)} {number(p)}" for word, p in side.top(shown[j], i)
        ),
    )


def _change(sides: list[Lens], shown: list[int], values: Values, shade: Shade) -> Panel:
    def text(i: int, j: int) -> str:
        before, after = (side.top(shown[j], i)[0][0] for side in sides)
        return "" if before == after else show_token(after)

    def tip(i: int, j: int) -> str:
        before, after = (side.top(shown[j], i)[0] for side in sides)
        return "\n".join(f"{show_token(word)} {number(p)}" for word, p in (before, after))

    first = sides[0]
    return panel(
        "difference",
        token_rows(first.tokens, first.first),
        [column(first.rows[i]) for i in shown],
        values,
        shade,
        lambda i, j: f"{layer_of(first.rows[shown[j]])}.{first.first + i}",
        texts=text,
        tips=tip,
    )


def layer_of(row: str) -> str:
    """The layer of a row, `embed` before the first."""
    return row.partition(".")[0]


def column(row: str) -> str:
    """A row's name above a narrow column."""
    layer, _, kind = row.partition(".")
    return {"attn": f"{layer}a", "mlp": layer}.get(kind, layer)


def cell_of(result: Result, layer: str, token: int) -> list[tuple[str, list[tuple[str, float]]]]:
    """The likeliest tokens at one layer and token, after its attention and after its MLP."""
    side = Lens(result)
    place = token - side.first
    if not 0 <= place < len(side.tokens):
        return []
    return [
        (ENDING.get(row.partition(".")[2], "As embedded"), side.top(i, place))
        for i, row in enumerate(side.rows)
        if layer_of(row) == layer
    ]


def partial_lens(predicted: Result, told: Sequence[Mapping[str, Any]], which: str) -> Result:
    """The lens as far as it is read, its last tokens first; what is not read yet has no values."""
    rows = told[0]["rows"]
    n = next(len(p["tokens"]) for p in predicted.view["prompts"] if p["name"] == which)
    end = max(one["positions"][1] for one in told)
    begin = min(one["positions"][0] for one in told)
    first = begin if end < n else min(begin, max(0, n - WINDOW))
    grids = {name: np.full((len(rows), end - first), np.nan) for name in NUMBERS}
    likeliest, top = ([[[blank]] * (end - first) for _ in rows] for blank in (0.0, NOTHING))
    vocabulary = {str(NOTHING): ""}
    for one in told:
        start, stop = (place - first for place in one["positions"])
        for name in NUMBERS:
            grids[name][:, start:stop] = one[name]
        for i in range(len(rows)):
            likeliest[i][start:stop], top[i][start:stop] = one["likeliest"][i], one["top"][i]
        vocabulary |= one["vocabulary"]
    tokens = tuple(map(str, range(first, end)))
    axes = (Axis(name="row", labels=tuple(rows)), Axis(name="token", labels=tokens))
    values = {name: grid.tolist() for name, grid in grids.items()} | {"top": likeliest}
    arrays = {
        f"lens.{name}": ArrayInfo(file="", axes=axes, unit="", values=found)
        for name, found in values.items()
    }
    view = {"which": which, "positions": [first, end], "top": top, "vocabulary": vocabulary}
    return predicted.model_copy(update={"arrays": arrays, "view": predicted.view | view})
