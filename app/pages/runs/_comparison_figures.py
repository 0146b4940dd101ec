"""Figures of several runs at once: components side by side, agreement, curves overlaid."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.drawing.drawing import Drawing
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.numbers import largest
from app.drawing.panels import Panel, draw_panels
from app.drawing.sites import layers, site_title, sites_of, unit_of
from app.figures.components_heatmap import by_layer
from app.figures.probes_heatmap import PROBABILITY, fact_by_format, families
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
    "rank": "Spearman's rank correlation of the scores without their signs: 1 for the same "
    "order, 0 for unrelated ones, −1 for the reverse.",
    "top": "Of the {n} components with the largest scores of each run, whatever their sign, the "
    "share that both name (those in both over those in either): 1 for the same ones, 0 for others.",
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
    unit = unit if len(units) == 1 else "share of the largest score"
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
    middle = _difference(panels)
    why = (
        " The runs have different units, so each is divided by its largest score."
        if len(units) > 1
        else ""
    )
    caption = f"Mean scores of the components, all panels on one colour range.{why}{middle}"
    return draw_panels("Components side by side", caption, panels)


def _difference(panels: list[Panel]) -> str:
    """Put what the second of two runs has more between them, on their range; say so."""
    if len(panels) != 2:
        return ""
    one, other = (panel.grid for panel in panels)
    if one.columns.labels != other.columns.labels or one.rows.labels != other.rows.labels:
        return ""
    between = replace(one, title="difference", values=other.values - one.values)
    if not between.colours.signed:
        extent = between.colours.high
        between = replace(between, colours=Colours(one.colours.unit, True, -extent, extent))
    panels.insert(1, Panel(between, axis=int(not one.colours.signed)))
    return " The difference is the right one less the left one, cell by cell."


def role_sites(compared: Sequence[Compared]) -> list[str]:
    """The sites whose means by token role at least two runs have, in the order of a block."""
    found = [sites_of(one.result, "roles") for one in compared]
    sites = dict.fromkeys(site for one in found for site in one)
    return [site for site in sites if sum(site in one for one in found) > 1]


def role_panels(compared: Sequence[Compared], site: str) -> Drawing:
    """Token role × layer of every trace, all on one range; of two also the difference."""
    name = f"roles.{site}"
    traced = [one for one in compared if name in one.result.arrays and one.result.attribution]
    if not traced:
        raise UserError(f"None of these runs has means by token role at {site!r}.", field="of")
    infos = [one.source.info(name) for one in traced]
    values = [one.source.array(name) for one in traced]
    roles = tuple(dict.fromkeys(label for info in infos for label in info.axes[1].labels or ()))
    attribution = traced[0].result.attribution
    assert attribution is not None
    colours = Colours.over(values, unit_of(infos[0], attribution), infos[0].signed)
    panels = [
        Panel(
            Grid(
                title=one.name,
                caption="",
                rows=Side("token role", roles, numbered=False),
                columns=layers(found.shape[0]),
                values=_by_role(found, info.axes[1].labels or (), roles),
                colours=colours,
                value_title=colours.unit,
            )
        )
        for one, found, info in zip(traced, values, infos, strict=True)
    ]
    said = _difference(panels)
    caption = f"Means over each run's facts at each layer's {site_title(site)}, one range for all."
    return draw_panels(f"Token role × layer: {site_title(site)}", caption + said, panels)


def _by_role(
    values: NDArray[Any], labels: tuple[str, ...], roles: tuple[str, ...]
) -> NDArray[np.float64]:
    """Values (layer, role) as (role, layer), in the order of `roles`; NaN for a role without."""
    found = np.full((len(roles), values.shape[0]), np.nan)
    for i, label in enumerate(labels):
        found[roles.index(label)] = values[:, i]
    return found


def probed_answers(compared: Sequence[Compared]) -> list[str]:
    """What at least two runs asked fact by fact in formats: the arrays' names."""
    found = [families(one.result) for one in compared]
    names = dict.fromkeys(name for one in found for name in one)
    return [name for name in names if sum(name in one for one in found) > 1]


def probed_panels(compared: Sequence[Compared], name: str) -> Drawing:
    """The forget facts × formats of every evaluation, after its edit, on one range from 0 to 1."""
    asked = [one for one in compared if name in families(one.result)]
    if not asked:
        raise UserError(f"None of these runs asked for {name!r} in formats.", field="of")
    drawn = [fact_by_format(one.source, name) for one in asked]
    facts = tuple(dict.fromkeys(fact for labels, _, _ in drawn for fact in labels))
    columns = tuple(dict.fromkeys(one for _, formats, _ in drawn for one in formats))
    panels = []
    for one, (labels, formats, values) in zip(asked, drawn, strict=True):
        laid = np.full((len(facts), len(columns)), np.nan)
        for i, fact in enumerate(labels):
            for j, column in enumerate(formats):
                laid[facts.index(fact), columns.index(column)] = values[i, j]
        rows = Side("fact", facts, numbered=False)
        grid = Grid(
            title=one.name,
            caption="",
            rows=rows,
            columns=Side("format", columns, numbered=False),
            values=laid,
            colours=PROBABILITY,
            value_title=PROBABILITY.unit,
        )
        panels.append(Panel(grid))
    said = _difference(panels)
    caption = (
        "Probability of the whole answer for each forget fact, after the run's edits where it has "
        "any; one range from 0 to 1. An empty cell was not asked."
    )
    return draw_panels("Facts × formats", caption + said, panels)


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
