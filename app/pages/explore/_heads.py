"""All heads by one number, and one head: where it looks, and what its scores make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.drawing.ask import choose
from app.drawing.cells import Panel, Panels, Shade, Values, over, panel, token_rows
from app.drawing.words import show_token
from app.figures.head_pattern import WEIGHED, prompts
from app.figures.heads_grid import BY, SIGNED, array_of, unpatched
from app.formats import number
from worker.contract.errors import UserError
from worker.contract.result import Result

MARKED = 0.4
"""Score from which a habit is named, as of Olsson et al. 2022, where heads part into two crowds."""
HABITS = {
    "previous": ("previous-token head", "looks at the token before"),
    "duplicate": ("duplicate-token head", "looks at where the same token stood before"),
    "induction": ("induction head", "looks at what followed the same token before"),
}
LOOKED_AT = 5
"""Tokens told of those that a token looks at."""


def heads_panels(found: Sequence[Result], titles: Sequence[str], by: str) -> Panels:
    """The grid of heads by one number, of one model or of two and their difference."""
    values = [np.array(one.arrays[array_of(by)].values, float) for one in found]
    if by == "patching":
        values = [v - unpatched(one) for v, one in zip(values, found, strict=True)]
    shade = over(BY[by], values, signed=by in SIGNED)
    made = [_heads(v, title, shade) for v, title in zip(values, titles, strict=True)]
    if len(made) == 2:
        made.insert(1, _heads(values[1] - values[0], "difference", _change(shade)))
    return Panels(tuple(made), shade)


def _change(shade: Shade) -> Shade:
    return Shade(f"change of the {shade.words}", shade.share, True, shade.range)


def _heads(values: Values, title: str, shade: Shade) -> Panel:
    rows = [(i, "", False) for i in range(values.shape[0])]
    columns = [str(i) for i in range(values.shape[1])]
    return panel(
        title, rows, columns, values, shade, lambda i, j: f"{i}.{j}",
        corner="layer", is_narrow=bool(title),
    )  # fmt: skip


def read_head(text: str) -> tuple[int, int] | None:
    """Layer and head of an address; UserError for what is no head."""
    if not text:
        return None
    layer, _, head = text.partition(".")
    if not (layer.isdecimal() and head.isdecimal()) or len(text) > 12:
        raise UserError(
            f"{text[:40]!r} is no head; expected a layer and a head, such as 3.1.", field="head"
        )
    return int(layer), int(head)


@dataclass(frozen=True)
class Opened:
    """One head in one model."""

    view: Mapping[str, Any]
    names: tuple[tuple[str, str], ...]
    """What its scores make of it, each with the reason."""


def opened(result: Result) -> Opened:
    """What the page tells of a head."""
    return Opened(result.view, tuple(_names(result.view["scores"])))


def _names(scores: Mapping[str, float | None]) -> list[tuple[str, str]]:
    found = []
    attention, direct, mover = (scores.get(name) for name in ("attention", "direct", "mover"))
    if attention is not None and direct is not None and mover is not None:
        is_most = abs(mover) >= abs(direct) / 2
        if attention >= MARKED and is_most:
            why = (
                f"{number(attention)} of the last token's attention is on the subject, and "
                f"{number(mover)} of the {number(direct)} that it adds comes from there"
            )
            found.append(("moves the subject to the end", why))
    for name, (words, what) in HABITS.items():
        score = scores.get(name)
        if score is not None and score >= MARKED:
            why = f"on random tokens it {what} with {number(score)} of its attention"
            found.append((words, why))
    return found


def patterns(found: Sequence[Result], titles: Sequence[str], asked: Mapping[str, str]) -> Panels:
    """Where a head looks: on each prompt, or on one prompt in each model, on one range."""
    weigh = choose(asked, "weigh", list(WEIGHED))
    names = prompts(found[0])
    if len(found) > 1:
        names = [choose(asked, "which", names)]
    shown = [(one, name) for name in names for one in found]
    values = [np.array(one.arrays[f"head.{weigh}.{name}"].values, float) for one, name in shown]
    words = [title if len(found) > 1 else f"{name} prompt" for name in names for title in titles]
    shade = over(WEIGHED[weigh], values)
    tokens = [next(p["tokens"] for p in one.view["prompts"] if p["name"] == n) for one, n in shown]
    made = [_pattern(t, title, v, shade) for t, title, v in zip(tokens, words, values, strict=True)]
    if len(found) > 1:
        made.insert(1, _pattern(tokens[0], "difference", values[1] - values[0], _change(shade)))
    return Panels(tuple(made), shade)


def _pattern(
    tokens: Sequence[Mapping[str, Any]], title: str, values: Values, shade: Shade
) -> Panel:
    n_rows, n_columns = values.shape
    first = len(tokens) - n_rows
    ahead = np.triu(np.ones_like(values, bool), n_columns - n_rows + 1)
    keys = [show_token(str(one["text"])) for one in tokens[:n_columns]]
    tips = [_looked_at(row, keys) for row in np.where(ahead, 0.0, values)]
    return panel(
        title,
        token_rows(tokens[first:], first),
        keys,
        np.where(ahead, np.nan, values),
        shade,
        lambda i, j: str(first + i),
        texts=lambda i, j: "",
        row_tips=tips,
        corner="looks from",
    )


def _looked_at(row: Values, keys: Sequence[str]) -> str:
    most = np.argsort(-np.abs(row), kind="stable")[:LOOKED_AT]
    return "\n".join(f"{j} {keys[j]} {number(float(row[j]))}" for j in most if row[j])
