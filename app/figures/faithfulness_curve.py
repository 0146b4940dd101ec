"""Faithfulness over the size of a growing set of components, beside random rankings."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_lines
from app.formats import number
from worker.contract.result import Result

MODES = {"only": "Only the set is clean", "without": "All but the set is clean"}


def offers(result: Result) -> list[Offer]:
    """One offer where the result has the curves."""
    if f"faithfulness.{next(iter(MODES))}" not in result.arrays:
        return []
    controls = (Control("mode", "Patched", tuple(MODES.items()), next(iter(MODES))),)
    return [Offer("faithfulness_curve", "Faithfulness by size", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the ranking with its interval over facts, and the random rankings with their spread."""
    mode = choose(ask, "mode", list(MODES))
    info = source.info(f"faithfulness.{mode}")
    labels = info.axes[0].labels or ()
    values = dict(zip(labels, source.array(f"faithfulness.{mode}").astype(float), strict=True))
    draws = np.stack([line for name, line in values.items() if name.startswith("random")])
    x = tuple(float(place) for place in info.axes[1].labels or ())
    own, chance = values["ranked"], draws.mean(0)
    area, expected = float(np.trapezoid(own, x)), float(np.trapezoid(chance, x))
    better = "higher is better" if mode == "only" else "lower is better"
    drawing = draw_lines(
        Chart(
            title=f"Faithfulness by size: {MODES[mode].lower()}",
            caption=(
                f"{MODES[mode]}; everything else is corrupted, or the reverse. 1 is the clean "
                f"metric, 0 that with everything corrupted. Sets grow by the ranking; bars are 95 "
                f"% intervals over facts, for random rankings the lowest and highest of "
                f"{len(draws)} draws with as many heads and MLPs at every size. Area under the "
                f"ranking's curve {number(area)}, under the random ones' {number(expected)} "
                f"({better})."
            ),
            x_title="share of the components' parameters",
            x=x,
            y_title="faithfulness",
            series=(
                Series("ranked", own, _least(own, values["low"]), _most(own, values["high"])),
                Series("random", chance, draws.min(0), draws.max(0)),
            ),
        )
    )
    drawing.layout["shapes"] = [_level(0.0), _level(1.0)]
    return drawing


def _least(own: NDArray[Any], low: NDArray[Any]) -> NDArray[Any]:
    least: NDArray[Any] = np.minimum(own, low)
    return least


def _most(own: NDArray[Any], high: NDArray[Any]) -> NDArray[Any]:
    most: NDArray[Any] = np.maximum(own, high)
    return most


def _level(y: float) -> dict[str, Any]:
    """A line across at nothing and at everything."""
    return {
        "type": "line",
        "name": f"level {y:g}",
        "line": {"width": 1, "dash": "dot"},
        "xref": "paper",
        "yref": "y",
        "x0": 0,
        "x1": 1,
        "y0": y,
        "y1": y,
    }
