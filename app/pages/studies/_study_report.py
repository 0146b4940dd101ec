"""A study's report as its page shows it: rows of estimates, the best of a column, differences."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from app.drawing.beside import draw_beside
from app.drawing.drawing import Control, Drawing, Offer
from app.drawing.pareto import X, Y, draw_pareto, metric_choices
from app.formats import number
from worker.contract.base import unknown
from worker.contract.result import Estimate
from worker.contract.study import ReportGroup, StudyReport
from worker.engine.study.paper import COLUMNS, SOURCE, paper_value


@dataclass(frozen=True)
class Cell:
    """One group's estimate of one metric, and the paper's figure for it, as they are written."""

    mean: str
    interval: str = ""
    is_best: bool = False
    paper: str = ""


@dataclass(frozen=True)
class Row:
    """One group with a cell per metric."""

    group: ReportGroup
    cells: tuple[Cell, ...]


def rows(report: StudyReport) -> list[Row]:
    """Every group's means; the best of each column is marked."""
    best = [_best(report, m) for m in range(len(report.metrics))]
    return [
        Row(
            group,
            tuple(
                _cell(
                    report,
                    m,
                    found,
                    found is not None and found.mean == best[m],
                    paper_value(group.mask, metric.short),
                )
                for m, (found, metric) in enumerate(zip(estimates, report.metrics, strict=True))
            ),
        )
        for group, estimates in zip(report.groups, report.estimates, strict=True)
    ]


def differences(report: StudyReport) -> list[Row]:
    """Reference minus every other group; marked where the interval leaves 0 out."""
    return [
        Row(group, tuple(_cell(report, m, one, _is_clear(one)) for m, one in enumerate(row)))
        for group, row in zip(report.groups, report.differences, strict=False)
        if group.mask != report.reference
    ]


def base(report: StudyReport) -> tuple[str, ...]:
    """The model before any edit, as it is written; () where nothing was measured on it."""
    if all(value is None for value in report.base):
        return ()
    return tuple(_written(report, m, value) for m, value in enumerate(report.base))


def _cell(
    report: StudyReport, m: int, found: Estimate | None, is_best: bool, paper: float | None = None
) -> Cell:
    written = "" if paper is None else _written(report, m, paper)
    if found is None:
        return Cell("–", paper=written)
    # Of one value the bootstrap gives that value, which is no interval.
    ends = (found.low, found.high) if found.n > 1 else ()
    interval = " to ".join(_written(report, m, value) for value in ends)
    return Cell(_written(report, m, found.mean), interval, is_best, written)


def _written(report: StudyReport, m: int, value: float | None) -> str:
    """Three decimals in a column of shares, so that its numbers stand below each other."""
    means = [found.mean for row in report.estimates if (found := row[m]) is not None]
    if value is None or not all(-0.001 <= mean <= 1.001 for mean in means):
        return number(value)
    return f"{value:.3f}".replace("-0.000", "0.000").replace("-", "−")


def _is_clear(found: Estimate | None) -> bool:
    return found is not None and found.n > 1 and not found.low <= 0 <= found.high


def _best(report: StudyReport, m: int) -> float | None:
    means = [found.mean for row in report.estimates if (found := row[m]) is not None]
    better = report.metrics[m].better
    if better == "none" or len(set(means)) < 2:
        return None
    return max(means) if better == "higher" else min(means)


def figures(report: StudyReport, address: str, with_paper: bool) -> list[dict[str, object]]:
    """The figures of a report, as the figure macro takes them."""
    offers = [
        Offer(
            "pareto",
            "Forgetting against retaining",
            controls=(
                Control("x", "Across", metric_choices(report, X)),
                Control("y", "Up", metric_choices(report, Y)),
            ),
        )
    ]
    beside = tuple(c for c in metric_choices(report, Y) if c[0] in COLUMNS)
    if with_paper and beside:
        controls = (Control("of", "Number", beside),)
        offers.insert(0, Offer("beside", "Measured beside the paper", controls=controls))
    return [
        {
            "id": f"figure-{offer.figure}",
            "address": f"{address}/{offer.figure}",
            "fixed": "",
            "offer": offer,
            "is_live": False,
        }
        for offer in offers
    ]


def draw(report: StudyReport, figure: str, ask: Callable[[str, str], str]) -> Drawing:
    """Draw one figure of a report; `ask(name, default)` reads the address."""
    x, y = metric_choices(report, X)[0][0], metric_choices(report, Y)[0][0]
    if figure == "pareto":
        return draw_pareto(report, ask("x", x), ask("y", y))
    if figure == "beside":
        short = ask("of", y)
        theirs = {group.mask: paper_value(group.mask, short) for group in report.groups}
        return draw_beside(report, short, theirs, SOURCE)
    raise unknown("figure", figure, ["pareto", "beside"], field="figure")


def table(report: StudyReport) -> Iterator[tuple[Any, ...]]:
    """One row per group, metric and seed, in the file's precision, after a header."""
    yield ("mask", "method", "parameters", "metric", "better", "seed", "value")
    for group, of_group in zip(report.groups, report.values, strict=True):
        for metric, of_metric in zip(report.metrics, of_group, strict=True):
            for seed, value in zip(report.seeds, of_metric, strict=True):
                cells = (metric.name, metric.better, seed, value)
                yield (group.mask, group.method, group.parameters, *cells)
