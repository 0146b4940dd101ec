"""Facts × formats: before, after and the difference, side by side on locked ranges.

Before and after share one range from 0 to 1, the difference has a symmetric one from −1 to 1, the
same for every run, so that any two of these figures can be compared by eye.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side
from app.drawing.panels import Panel, draw_panels
from worker.contract.result import Result

SETS = {"forget": "Forget facts", "retain": "Retain facts", "all": "All facts"}
PROBABILITY = Colours("probability", False, 0.0, 1.0)
DIFFERENCE = Colours("Δ probability", True, -1.0, 1.0)


def offers(result: Result) -> list[Offer]:
    """One offer per evaluation that asked facts in formats."""
    found: dict[str, list[str]] = {}
    for name in families(result):
        found.setdefault(name.partition(".")[0], []).append(name)
    return [
        Offer(
            "probes_heatmap",
            f"Facts × formats: {_title(result, evaluation)}",
            fixed=(("evaluation", evaluation),),
            controls=(
                Control("of", "Answer", tuple((n, _words(n)) for n in names), names[0]),
                Control("facts", "Facts", tuple(SETS.items()), "forget"),
            ),
        )
        for evaluation, names in found.items()
    ]


def families(result: Result) -> list[str]:
    """Names, without their state, of the arrays (fact, format)."""
    return [
        name.removesuffix(".before")
        for name, info in result.arrays.items()
        if name.endswith(".before") and is_fact_by_format(info.axes)
    ]


def is_fact_by_format(axes: tuple[Any, ...]) -> bool:
    """Whether an array is drawn here."""
    return tuple(axis.name for axis in axes) == ("fact", "format")


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one answer's probabilities for the forget facts, the retain facts or all."""
    evaluation = ask.get("evaluation", "")
    known = [n for n in families(source.result) if not evaluation or n.startswith(f"{evaluation}.")]
    name = choose(ask, "of", known)
    which = choose(ask, "facts", list(SETS))
    labels, rows = _facts(source.result, name, which)
    states = {"before": source.array(f"{name}.before")[rows].astype(float)}
    if f"{name}.after" in source.result.arrays:
        states["after"] = source.array(f"{name}.after")[rows].astype(float)
        states["difference"] = states["after"] - states["before"]
    formats = source.info(f"{name}.before").axes[1].labels or ()
    caption = (
        f"{_words(name)}: probability of the whole answer, each token after the right ones before "
        f"it (in multiple choice, of its letter among the letters), one row per fact. Before and "
        f"after share one range, 0 to 1; the difference runs from −1 to 1. An empty cell "
        f"was not asked."
    )
    title = f"{_words(name)}, {SETS[which].lower()}"
    return draw_panels(title, caption, _panels(labels, formats, states))


def fact_by_format(
    source: Source, name: str
) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float64]]:
    """Subjects of the forget facts, formats, and their newest probabilities (fact, format)."""
    labels, rows = _facts(source.result, name, "forget")
    state = "after" if f"{name}.after" in source.result.arrays else "before"
    values = source.array(f"{name}.{state}")[rows].astype(float)
    return labels, source.info(f"{name}.{state}").axes[1].labels or (), values


def _facts(result: Result, name: str, which: str) -> tuple[tuple[str, ...], list[int]]:
    ids = result.arrays[f"{name}.before"].axes[0].labels or ()
    found = result.evaluations.get(name.partition(".")[0])
    sets, subjects = {}, {}
    if found and found.facts and {"fact", "set", "subject"} <= set(found.facts.columns):
        at = {column: i for i, column in enumerate(found.facts.columns)}
        for row in found.facts.rows:
            sets[row[at["fact"]]] = row[at["set"]]
            subjects[row[at["fact"]]] = row[at["subject"]]
    rows = [i for i, fact in enumerate(ids) if which == "all" or sets.get(fact, which) == which]
    return tuple(str(subjects.get(ids[i], ids[i])) for i in rows), rows


def _panels(
    labels: tuple[str, ...], formats: tuple[str, ...], states: dict[str, NDArray[np.float64]]
) -> list[Panel]:
    return [
        Panel(
            Grid(
                title=state,
                caption="",
                rows=Side("fact", labels, numbered=False),
                columns=Side("format", formats, numbered=False),
                values=values,
                colours=DIFFERENCE if state == "difference" else PROBABILITY,
                value_title=(DIFFERENCE if state == "difference" else PROBABILITY).unit,
            ),
            axis=int(state == "difference"),
        )
        for state, values in states.items()
    ]


def _title(result: Result, evaluation: str) -> str:
    found = result.evaluations.get(evaluation)
    return found.title if found else evaluation


def _words(name: str) -> str:
    words = name.rpartition(".")[2].replace("_", " ")
    return words[:1].upper() + words[1:]
