"""One prompt: token rows × layer columns, the subject's tokens marked; one site at a time."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.drawing.ask import choose, is_on
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid, grid_cells, grid_table
from app.drawing.sites import layers, site_title, sites_of, unit_of
from app.drawing.words import show_token
from app.formats import number
from worker.contract.result import Attribution, Result, TracedFact
from worker.contract.units import SHARE_OF_DIFFERENCE, metric_words

FOLDED = 4
"""Tokens before the subject from which they are one row: an example put before the prompt."""
HOOKS = {"resid": "hook_resid_post", "mlp": "mlp", "attn": "attn"}


def offers(result: Result) -> list[Offer]:
    """One offer where the result has a grid over positions."""
    sites = sites_of(result, "grid")
    if not sites or result.attribution is None:
        return []
    facts = tuple((fact.id, f"{fact.label} → {fact.answer}") for fact in result.attribution.facts)
    controls: tuple[Control, ...] = (
        Control("site", "Where", tuple((s, site_title(s)) for s in sites), sites[0]),
        Control("fact", "Fact", facts, facts[0][0] if facts else ""),
        Control("lock", "Same colours for all facts and sites"),
        Control("transpose", "Layers down"),
    )
    if any(fact.subject[0] >= FOLDED for fact in result.attribution.facts):
        controls += (Control("whole", "Open the tokens before the subject"),)
    return [Offer("prompt_heatmap", "One prompt: token × layer", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the site and fact that are asked for, by default the first."""
    attribution = source.result.attribution
    sites = sites_of(source.result, "grid")
    site = choose(ask, "site", sites)
    facts = attribution.facts if attribution else ()
    wanted = choose(ask, "fact", [fact.id for fact in facts])
    index = next(i for i, fact in enumerate(facts) if fact.id == wanted)
    assert attribution is not None
    info = source.info(f"grid.{site}")
    locked = is_on(ask, "lock")
    values = source.array(f"grid.{site}")
    others = [source.array(f"grid.{s}") for s in sites] if locked else [values[index]]
    colours = Colours.over(others, unit_of(info, attribution), info.signed)
    grid = prompt_grid(attribution, facts[index], site, values[index], colours)
    if locked:
        said = " One colour range for all facts and sites of this run."
        grid = replace(grid, caption=grid.caption + said)
    first = facts[index].subject[0]
    if first < FOLDED or is_on(ask, "whole"):
        return draw_grid(grid, is_on(ask, "transpose"))
    drawing = draw_grid(folded(grid, first), is_on(ask, "transpose"))
    return replace(drawing, table=grid_table(grid), cells=grid_cells(grid))


def folded(grid: Grid, first: int) -> Grid:
    """The grid with the rows before `first` as one, which has their largest value.

    The corruption does not reach them, so that in a trace they are all 0.
    """
    rows = grid.rows
    start, stop = grid.outlined or (first, first)
    return replace(
        grid,
        rows=replace(
            rows,
            labels=(f"… {first} tokens", *rows.labels[first:]),
            bold=frozenset(one - first + 1 for one in rows.bold),
        ),
        values=_fold(grid.values, first),
        normalized=None if grid.normalized is None else _fold(grid.normalized, first),
        outlined=(start - first + 1, stop - first + 1),
        caption=f"{grid.caption} The first row is the {first} tokens before the subject together: "
        f"in each layer the value that is farthest from 0. They can be opened.",
    )


def _fold(values: NDArray[np.float32], first: int) -> NDArray[np.float32]:
    before = values[:first]
    largest = np.abs(np.nan_to_num(before)).argmax(0)
    return np.concatenate([before[largest, np.arange(values.shape[1])][None], values[first:]])


def prompt_grid(
    attribution: Attribution, fact: TracedFact, site: str, values: NDArray[np.float32], c: Colours
) -> Grid:
    """The grid of one fact; `values` are (layer, position), NaN past the last position."""
    n_layers, n = values.shape[0], len(fact.tokens)
    by_token = values[:, :n].T
    is_share = attribution.unit.startswith("share")
    span = 0.0 if is_share or fact.corrupted is None else fact.clean - fact.corrupted
    return Grid(
        title=f"{fact.label}: {site_title(site)}, token × layer",
        caption=_caption(attribution, fact, site),
        rows=Side(
            "token",
            tuple(show_token(token) for token in fact.tokens),
            bold=frozenset(range(*fact.subject)),
        ),
        columns=layers(n_layers),
        values=by_token,
        colours=c,
        value_title=c.unit,
        name_format=f"blocks.{{column}}.{HOOKS.get(site, site)}",
        normalized=by_token / span if span else None,
        outlined=fact.subject,
    )


def _caption(attribution: Attribution, fact: TracedFact, site: str) -> str:
    answer = f"“{fact.answer}”" + (f" against “{fact.foil}”" if fact.foil else "")
    return (
        f"{attribution.direction} Each cell is one token's {site_title(site)} in one layer, for "
        f"{answer}: {between(attribution, fact)} The subject's tokens are bold and outlined."
    )


def between(attribution: Attribution, fact: TracedFact) -> str:
    """What the metric is on a fact's prompts, and what a share of their difference means."""
    clean = f"{metric_words(attribution.metric)} {number(fact.clean)} on the clean prompt"
    if fact.corrupted is None:
        return f"{clean}; none was corrupted."
    return (
        f"{clean} and {number(fact.corrupted)} on the corrupted one. A {SHARE_OF_DIFFERENCE} of 1 "
        f"is the whole difference."
    )
