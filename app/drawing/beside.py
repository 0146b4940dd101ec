"""A study's means beside the paper's own figures, one metric at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.drawing import Drawing
from app.drawing.lines import Chart, Series, draw_bars
from app.drawing.pareto import index_of
from worker.contract.result import Estimate
from worker.contract.study import StudyReport


def draw_beside(
    report: StudyReport, short: str, theirs: dict[str, float | None], source: str
) -> Drawing:
    """Draw one metric of every group beside the paper's figure for it."""
    m = index_of(report, short, "of")
    metric = report.metrics[m]
    found = [row[m] for row in report.estimates]
    paper = np.array(
        [np.nan if (value := theirs.get(g.mask)) is None else value for g in report.groups]
    )
    return draw_bars(
        Chart(
            title=f"{metric.title}: measured and in the paper",
            caption=(
                f"Measured on {report.model!r}: mean over {len(report.seeds)} seeds with its 95 % "
                f"bootstrap interval. Paper: {source}; it gives no intervals."
            ),
            x_title="mask",
            x=tuple(float(i) for i in range(len(report.groups))),
            labels=tuple(group.title for group in report.groups),
            y_title=metric.title,
            series=(
                Series("measured here", *(_part(found, name) for name in ("mean", "low", "high"))),
                Series("paper, large models", paper),
            ),
            y_range=(0.0, 1.05),
        )
    )


def _part(found: Sequence[Estimate | None], name: str) -> NDArray[Any]:
    return np.array([np.nan if one is None else getattr(one, name) for one in found])
