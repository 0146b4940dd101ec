"""What a study's groups give of one thing for another: forgetting or editing against retaining."""

from collections.abc import Mapping

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.pareto import X, Y, draw_pareto, metric_choices
from worker.contract.result import Result
from worker.engine.study.headlines import HEADLINES
from worker.engine.study.report import report_of

ARRAY = "study.values"


def offers(result: Result) -> list[Offer]:
    """One offer for a study; its metrics are the choices."""
    if result.kind != "study" or ARRAY not in result.arrays:
        return []
    names = result.arrays[ARRAY].axes[1].labels or ()
    known = tuple((short, title) for short, title, name, _ in HEADLINES if name in names)
    return [
        Offer(
            "pareto",
            "Forgetting against retaining",
            controls=(
                Control("x", "Across", _first(known, X)),
                Control("y", "Up", _first(known, Y)),
            ),
        )
    ]


def _first(
    known: tuple[tuple[str, str], ...], preferred: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    shorts = [short for short, _ in known]
    first = next((short for short in preferred if short in shorts), "")
    return tuple(sorted(known, key=lambda choice: choice[0] != first))


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the groups between two metrics."""
    report = report_of(source.result, source.array(ARRAY))
    x, y = metric_choices(report, X), metric_choices(report, Y)
    return draw_pareto(
        report,
        choose(ask, "x", [short for short, _ in x]),
        choose(ask, "y", [short for short, _ in y]),
    )
