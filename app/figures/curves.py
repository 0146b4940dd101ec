"""Arrays of one axis: a probe's accuracy by layer, a relearning by steps. One chart per family.

Arrays belong to one family where their names begin with the same word and they share axis, length
and unit. Over layers, steps and sizes they are lines; over names they are bars.
"""

from collections.abc import Mapping

from app.drawing.ask import choose
from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_bars, draw_lines
from worker.contract.components import parse_component
from worker.contract.result import ArrayInfo, Result

LOOKUP = ("probe.full_prompt", "probe.bare_name", "probe.control", "probe.confidence")
CLAIMED = ("curve.", "components", "settings.", *LOOKUP)
"""Beginnings of the names that figures of their own draw."""


def offers(result: Result) -> list[Offer]:
    """One offer per family."""
    return [
        Offer("curves", _title(result, names), fixed=(("of", key),))
        for key, names in families(result).items()
    ]


def families(result: Result) -> dict[str, list[str]]:
    """The first array's name of every family -> names of its arrays."""
    found: dict[tuple[object, ...], list[str]] = {}
    for name, info in result.arrays.items():
        if len(info.axes) == 1 and not name.startswith(CLAIMED):
            axis = info.axes[0]
            length = len(axis.labels) if axis.labels else None
            key = (name.partition(".")[0], axis.name, length, info.unit)
            found.setdefault(key, []).append(name)
    return {names[0]: names for names in found.values()}


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one family."""
    known = families(source.result)
    names = known[choose(ask, "of", list(known))]
    info = source.info(names[0])
    axis = info.axes[0]
    arrays = [source.array(name).astype(float) for name in names]
    numbers = _numbers(axis.labels, len(arrays[0]))
    chart = Chart(
        title=_title(source.result, names),
        caption=_caption(source, names),
        x_title=axis.name,
        x=numbers or tuple(float(i) for i in range(len(arrays[0]))),
        labels=None if numbers else axis.labels,
        y_title=info.unit,
        marked=_marked(source.result) if axis.name == "layer" else (),
        series=tuple(
            Series(_name(name, source.info(name)), values)
            for name, values in zip(names, arrays, strict=True)
        ),
    )
    return draw_lines(chart) if numbers else draw_bars(chart)


def _marked(result: Result) -> tuple[tuple[float, float], ...]:
    """The layers that the method itself chose, as stretches of the axis."""
    suggested = result.attribution.suggested if result.attribution else None
    chosen = {parse_component(name).layer for name in suggested.components} if suggested else set()
    return tuple((float(layer), float(layer)) for layer in sorted(chosen))


def _numbers(labels: tuple[str, ...] | None, n: int) -> tuple[float, ...] | None:
    if labels is None:
        return tuple(float(i) for i in range(n))
    try:
        return tuple(float(label) for label in labels)
    except ValueError:
        return None


def _name(name: str, info: ArrayInfo) -> str:
    return info.title or name.partition(".")[2].replace("_", " ").replace(".", ", ") or name


def _title(result: Result, names: list[str]) -> str:
    family = names[0].partition(".")[0].replace("_", " ")
    return f"{family[:1].upper()}{family[1:]} by {result.arrays[names[0]].axes[0].name}"


def _caption(source: Source, names: list[str]) -> str:
    marked = " Shaded layers are those that the method itself chose."
    measured = source.result.evaluations.get(names[0].partition(".")[0])
    caption = measured.caption if measured else source.result.caption
    words = caption or f"The arrays {', '.join(names)} of this run."
    return words + (marked if _marked(source.result) else "")
