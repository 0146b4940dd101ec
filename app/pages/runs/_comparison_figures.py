"""Figures of several runs at once: components side by side, agreement, curves overlaid."""

from collections.abc import Sequence

import numpy as np

from app.drawing.drawing import Drawing
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.numbers import largest
from app.drawing.panels import Panel, draw_panels
from app.drawing.sites import layers, unit_of
from app.figures.components_heatmap import by_layer
from app.figures.training_curves import draw_curves
from app.pages.runs._comparison import Compared
from worker.contract.agreement import Scores, rank_correlation, shared, top_overlap
from worker.contract.base import unknown
from worker.contract.components import parse_component
from worker.contract.errors import UserError

AGREEMENTS = {
    "rank": "rank correlation",
    "3": "overlap of the first 3",
    "5": "overlap of the first 5",
    "10": "overlap of the first 10",
    "20": "overlap of the first 20",
}
"""How agreement can be measured: by the whole order, or by the first components."""
KINDS = {"all": "all kinds", "mlp": "MLPs", "attn": "attentions", "head": "heads"}
_AGREEMENT_CAPTIONS = {
    "rank": "Spearman's rank correlation of |score|: 1 for the same order, 0 for unrelated ones, "
    "−1 for the reverse.",
    "top": "Of the {n} components with the largest |score| of each run, the share that both name "
    "(those in both over those in either): 1 for the same ones, 0 for others.",
}


def component_panels(compared: Sequence[Compared]) -> Drawing:
    """The components' scores of every localization, on one colour range."""
    scored = [one for one in compared if "components" in one.result.arrays]
    if not scored:
        raise UserError("None of these runs has component scores; choose localizations.")
    scores = [_scores(one) for one in scored]
    units = {one.source.info("components").unit for one in scored}
    if len(units) > 1:
        scores = [_shared_out(one) for one in scores]
    laid = [by_layer(one) for one in scores]
    rows = layers(max(values.shape[0] for _, _, values in laid))
    attribution = scored[0].result.attribution
    unit = unit_of(scored[0].source.info("components"), attribution) if attribution else ""
    unit = unit if len(units) == 1 else "share of the largest |score|"
    extent = largest([values for _, _, values in laid])
    colours = Colours(unit, True, -(extent or 1.0), extent or 1.0)
    panels = []
    for one, (titles, names, values) in zip(scored, laid, strict=True):
        missing = ((0, len(rows.labels) - values.shape[0]), (0, 0))
        grid = Grid(
            title=one.name,
            caption="",
            rows=rows,
            columns=Side("component", titles, numbered=False),
            values=np.pad(values, missing, constant_values=np.nan),
            colours=colours,
            value_title=unit,
            names=np.pad(names, missing, constant_values=""),
        )
        panels.append(Panel(grid))
    why = (
        " The runs have different units, so each is divided by its largest |score|."
        if len(units) > 1
        else ""
    )
    caption = f"Mean scores of the components, all panels on one colour range.{why}"
    return draw_panels("Components side by side", caption, panels)


def _scores(one: Compared) -> dict[str, float]:
    labels = one.source.info("components").axes[0].labels or ()
    return dict(zip(labels, one.source.array("components").tolist(), strict=True))


def _shared_out(scores: dict[str, float]) -> dict[str, float]:
    most = max((abs(v) for v in scores.values()), default=0.0) or 1.0
    return {name: value / most for name, value in scores.items()}


def agreement(compared: Sequence[Compared], by: str = "rank", among: str = "all") -> Drawing:
    """How far every two localizations agree, by the order of components or by the first ones."""
    if by not in AGREEMENTS:
        raise unknown("measure of agreement", by, list(AGREEMENTS), field="by")
    if among not in KINDS:
        raise unknown("kind of components", among, list(KINDS), field="among")
    scored = [one for one in compared if "components" in one.result.arrays]
    if len(scored) < 2:
        raise UserError("Agreement needs at least two localizations.")
    scores = [_among(_scores(one), among) for one in scored]
    values = np.array([[_agree(a, b, by) for b in scores] for a in scores])
    names = tuple(one.name for one in scored)
    least = min(len(shared(a, b)) for a in scores for b in scores)
    few = f" Every two share at least {least}." if least else " Some two share none: an empty cell."
    return draw_grid(
        Grid(
            title=f"Agreement of localizations: {AGREEMENTS[by]}",
            caption=f"{_AGREEMENT_CAPTIONS['rank' if by == 'rank' else 'top'].format(n=by)} "
            f"Only components that both runs scored take part ({KINDS[among]}).{few}",
            rows=Side("run", names, numbered=False),
            columns=Side("with", names, numbered=False, upright=True),
            values=values,
            colours=Colours(AGREEMENTS[by], by == "rank", -1.0 if by == "rank" else 0.0, 1.0),
            value_title=AGREEMENTS[by],
        )
    )


def _agree(one: Scores, other: Scores, by: str) -> float:
    return rank_correlation(one, other) if by == "rank" else top_overlap(one, other, int(by))


def _among(scores: dict[str, float], among: str) -> dict[str, float]:
    return {name: v for name, v in scores.items() if among in ("all", _kind(name))}


def _kind(name: str) -> str:
    component = parse_component(name)
    return "head" if component.head is not None else component.kind


def curve_names(compared: Sequence[Compared]) -> list[str]:
    """Training curves that at least one of the runs has."""
    return sorted({n for one in compared for n in one.result.arrays if n.startswith("curve.")})


def overlaid(compared: Sequence[Compared], name: str) -> Drawing:
    """One training curve of every run."""
    curves, units = {}, {}
    for one in compared:
        if name not in one.result.arrays:
            continue
        info, values = one.source.info(name), one.source.array(name).tolist()
        steps = info.axes[0].labels or tuple(str(i) for i in range(len(values)))
        curves[one.name] = dict(zip(map(float, steps), values, strict=True))
        units[one.name] = info.unit
    if not curves:
        raise UserError(f"None of these runs has the curve {name!r}.", field="of")
    return draw_curves("loss" if name.endswith("loss") else "probability", curves, units)
