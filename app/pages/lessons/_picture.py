"""One figure of a lesson: bars of the likeliest tokens, or a table of cells of one or two axes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.drawing.cells import Panel, Shade, Values, over, panel
from app.drawing.marks import marked
from app.drawing.words import show_token
from worker.contract.errors import UserError
from worker.contract.result import ArrayInfo, Table
from worker.lessons.observing import TOKENS, Observed
from worker.lessons.schema import Figure

AXES = {"row": "layer", "query": "reads", "key": "is read"}
"""Axes whose names a student does not know."""
TABLE = "table."
SHOWN = 120
"""Tokens of a text that are shown."""
BEFORE = 40
"""Characters of a text that are shown before a token."""
ROWS = 12
"""Rows of a table that are shown."""
PROMPTS = {"clean": "As it is", "corrupted": "With the other name"}


@dataclass(frozen=True)
class Bars:
    """The likeliest tokens of one prompt."""

    name: str
    title: str
    text: str
    rows: tuple[tuple[str, float], ...]
    said: str


def bars(figure: Figure, seen: Observed) -> list[Bars]:
    """The likeliest tokens of the prompts that a figure shows."""
    view = seen.result.view
    made = []
    for prompt in view["prompts"]:
        name = prompt["name"]
        if figure.prompt not in ("", name):
            continue
        top = [row for row in view.get("top", ()) if row["prompt"] == name]
        said = next((c["text"] for c in view.get("continuation", ()) if c["prompt"] == name), "")
        rows = sorted(top, key=lambda row: int(row["rank"]))[:8]
        shown = tuple((str(row["token"]), float(row["probability"])) for row in rows)
        made.append(Bars(name, PROMPTS.get(name, name), prompt["text"], shown, str(said)))
    return made


@dataclass(frozen=True)
class _Side:
    """One axis as a grid shows it."""

    axis: str
    place: int
    """Which axis of the array it is; -1 where the array has one axis only."""
    entries: tuple[int, ...]
    labels: tuple[tuple[int, str, bool], ...]
    """Of each entry its number, its words, and whether it is of the subject."""


def grid(figure: Figure, seen: Observed) -> Panel:
    """An array of two axes as a table, tokens in rows where it has tokens; or of one, in a row."""
    info = seen.info(figure.show)
    rows, columns = _sides(figure, seen, info)
    values = _values(info, rows, columns)
    return panel(
        "",
        rows.labels,
        [_column(label, columns.axis) for label in columns.labels],
        values,
        _shade(info, values),
        lambda i, j: _at(rows, columns, i, j),
        texts=(lambda i, j: _word(seen, rows, columns, i, j)) if figure.words else None,
        corner=_corner(rows, columns),
    )


def drawn(figure: Figure, seen: Observed) -> dict[str, Any]:
    """What a figure's template draws: one of these has something in it."""
    made: dict[str, Any] = {"bars": [], "numbers": [], "table": None, "text": None, "grid": None}
    if figure.show == "tops":
        return made | {"bars": bars(figure, seen)}
    if figure.show == "bars":
        return made | {"numbers": numbers(figure, seen)}
    if figure.show == "text":
        return made | {"text": marked(seen.result)[0][:SHOWN]}
    if (table := _table(figure, seen)) is not None:
        return made | {"table": table, "most": ROWS}
    return made | {"grid": grid(figure, seen)}


def _table(figure: Figure, seen: Observed) -> Table | None:
    """The table that a figure shows; None where it shows something else."""
    if figure.show == "labels":
        return _labels(seen)
    if figure.show.startswith(TABLE):
        return seen.table(figure.show.removeprefix(TABLE))
    return None


def _labels(seen: Observed) -> Table:
    """Each of a text's own expressions once, where the model is to be taught something else."""
    rows: dict[str, tuple[str, ...]] = {}
    before = ""
    for one in seen.result.view.get("tokens", ()):
        if one["anchor"] and one["label"] and one["label"] != one["text"]:
            likely = one["original"][0][0] if one["original"] else ""
            shown = (show_token(str(text)) for text in (one["text"], likely, one["label"]))
            rows.setdefault(one["anchor"], (f"… {before[-BEFORE:]}", *shown))
        before += one["text"]
    columns = ("after", "the text has", "the model expects", "it is to learn")
    return Table(columns=columns, rows=tuple(rows.values()))


def numbers(figure: Figure, seen: Observed) -> list[tuple[str, float, float]]:
    """Every bar's words, its number, and how long it is drawn: its share of 1, or of the most."""
    found = [(bar.words, float(seen.value(bar.value))) for bar in figure.bars]
    most = max([1.0, *(abs(value) for _, value in found)])
    return [(words, value, abs(value) / most) for words, value in found]


def csv_rows(figure: Figure, seen: Observed) -> Iterator[list[Any]]:
    """A figure's numbers as a table, its header first."""
    if figure.show == "tops":
        yield ["prompt", "token", "probability"]
        for one in bars(figure, seen):
            yield from ([one.text, token, p] for token, p in one.rows)
        return
    if figure.show == "bars":
        yield ["", figure.unit or "value"]
        yield from ([words, value] for words, value, _ in numbers(figure, seen))
        return
    if figure.show == "text":
        yield ["token", "rise"]
        yield from ([one["text"], one["mark"]] for one in seen.result.view.get("tokens", ()))
        return
    if (table := _table(figure, seen)) is not None:
        yield list(table.columns)
        yield from map(list, table.rows)
        return
    found = grid(figure, seen)
    yield [found.corner, *found.columns]
    info = seen.info(figure.show)
    rows, columns = _sides(figure, seen, info)
    values = _values(info, rows, columns)
    for row, own in zip(found.rows, values, strict=True):
        yield [f"{row.place} {row.label}".strip(), *map(float, own)]


def _sides(figure: Figure, seen: Observed, info: ArrayInfo) -> tuple[_Side, _Side]:
    axes = [axis.name for axis in info.axes]
    if len(axes) not in (1, 2):
        raise UserError(
            f"The array {figure.show!r} has {len(axes)} axes; expected one or two.", field="show"
        )
    sides = [_side(figure, seen, info, place) for place in range(len(axes))]
    if len(sides) == 1:
        return sides[0], _Side("", -1, (0,), ((0, figure.unit or info.unit or "value", False),))
    first, second = sides
    turned = second.axis in TOKENS and first.axis not in TOKENS
    return (second, first) if turned else (first, second)


def _side(figure: Figure, seen: Observed, info: ArrayInfo, place: int) -> _Side:
    axis = info.axes[place]
    size = seen.size(info, place)
    labels = axis.labels or tuple(map(str, range(size)))
    if axis.name in TOKENS:
        tokens, shown = seen.tokens(info), seen.shown(info, axis.name)
        marked = [i for i, one in enumerate(shown) if tokens[one].get("subject")]
        first = 0 if figure.whole or not marked else marked[0]
        words = [show_token(str(tokens[one]["text"])) for one in shown]
        named = [(shown[i], words[i], i in marked) for i in range(first, size)]
        return _Side(axis.name, place, tuple(range(first, size)), tuple(named))
    kept = [i for i in range(size) if not figure.rows or labels[i].endswith(figure.rows)]
    kept = [0, *kept] if figure.rows and labels[0] == "embed" else kept
    return _Side(axis.name, place, tuple(kept), tuple((i, labels[i], False) for i in kept))


def _values(info: ArrayInfo, rows: _Side, columns: _Side) -> Values:
    values = np.array(info.values, float)
    if columns.place < 0:
        return values[list(rows.entries)][:, None]
    taken = values if rows.place < columns.place else values.T
    found: Values = taken[np.ix_(rows.entries, columns.entries)]
    return found


def _shade(info: ArrayInfo, values: Values) -> Shade:
    if info.unit == "probability" and not info.signed:
        return Shade("probability", lambda v: v, range="1")
    return over(info.unit, [values], signed=info.signed or bool(np.nanmin(values) < 0))


def _at(rows: _Side, columns: _Side, i: int, j: int) -> str:
    """A cell by its places on the array's axes in their order."""
    if columns.place < 0:
        return str(rows.entries[i])
    pair = (rows.entries[i], columns.entries[j])
    return ".".join(map(str, pair if rows.place < columns.place else pair[::-1]))


def _word(seen: Observed, rows: _Side, columns: _Side, i: int, j: int) -> str:
    """The likeliest token of a cell of a lens."""
    view = seen.result.view
    row, token = map(int, _at(rows, columns, i, j).split("."))
    return show_token(str(view["vocabulary"][str(view["top"][row][token][0])]))


def _column(label: tuple[int, str, bool], axis: str) -> str:
    if axis in TOKENS:
        return label[1]
    layer, _, kind = label[1].partition(".")
    return layer if kind == "mlp" else f"{layer}a" if kind == "attn" else label[1]


def _corner(rows: _Side, columns: _Side) -> str:
    if columns.place < 0:
        return rows.axis
    return f"{AXES.get(rows.axis, rows.axis)} / {AXES.get(columns.axis, columns.axis)}"
