"""From scores per fact to the Attribution contract: grids, roles, components, tables of facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from worker.contract.components import Component
from worker.contract.result import Attribution, Axis, Table, TracedFact
from worker.contract.units import may_be_negative
from worker.core.findings import Array, Findings
from worker.core.finite import require_finite
from worker.core.models.model import Model
from worker.core.patching.cases import Case, Prepared

ROLES = ("first subject token", "middle subject tokens", "last subject token", "after", "last")
PADDING = "positions past a fact's last token"
NO_ROLE = "no fact has a token of this role"
SITE_TITLES = {"resid": "Residual stream", "mlp": "MLP outputs", "attn": "Attention outputs"}


@dataclass
class Traced:
    """What a method measured of one fact."""

    case: Case
    clean: float
    corrupted: float = math.nan
    """NaN for a method that corrupts no prompt."""
    grids: dict[str, np.ndarray] = field(default_factory=dict)
    """Site -> (layer, position)."""
    components: dict[str, float] = field(default_factory=dict)
    """Component's name -> score."""


def build_findings(
    model: Model,
    traced: Sequence[Traced],
    prepared: Prepared,
    *,
    method: str,
    metric: str,
    unit: str,
    direction: str,
    operations: int | None,
    weights: Float[np.ndarray, " fact"] | None = None,
    grid_unit: str = "",
) -> Findings:
    """Build a localization's findings; facts stand in the order in which they were asked for.

    Means over facts are weighted by `weights`, which add up to 1; None weighs all alike. Grids have
    the components' `unit` unless another is given. What may not be negative is not `signed`.
    """
    weights = np.full(len(traced), 1 / len(traced)) if weights is None else weights
    arrays: dict[str, Array] = {}
    axes: tuple[Axis, ...]
    labels = tuple(t.case.fact.id for t in traced)
    of_grid = grid_unit or unit
    in_grid, signed = may_be_negative(of_grid), may_be_negative(unit)
    for site in traced[0].grids:
        title = SITE_TITLES.get(site, site)
        grid = stack([t.grids[site] for t in traced])
        axes = (Axis(name="fact", labels=labels), Axis(name="layer"), Axis(name="position"))
        arrays[f"grid.{site}"] = Array(grid, axes, of_grid, title, in_grid, PADDING)
        roles = _mean([role_means(t.grids[site], t.case) for t in traced], weights)
        axes = (Axis(name="layer"), Axis(name="role", labels=ROLES))
        title += " by token role"
        arrays[f"roles.{site}"] = Array(roles, axes, of_grid, title, in_grid, NO_ROLE)
    names = tuple(traced[0].components)
    if names:
        scores = np.array([[t.components[n] for n in names] for t in traced], dtype=np.float64)
        axis = Axis(name="component", labels=names)
        both = (Axis(name="fact", labels=labels), axis)
        arrays["components"] = Array(weights @ scores, (axis,), unit, "Components", signed)
        arrays["components.facts"] = Array(scores, both, unit, "Components per fact", signed)
    attribution = Attribution(
        method=method,
        metric=metric,
        direction=direction,
        unit=unit,
        facts=tuple(traced_fact(t) for t in traced),
        operations=operations,
    )
    return Findings(
        arrays=arrays,
        summary=_summary(traced, prepared, operations) | best_components(traced, weights, unit),
        left_out=prepared.left_out,
        attribution=attribution,
        tables=instead_table(prepared),
    )


def role_means(grid: np.ndarray, case: Case) -> np.ndarray:
    """Average a (layer, position) grid over positions of one role; NaN where a role has none."""
    start, stop = case.prompt.subject
    last = case.length - 1
    places = (
        [start] if stop - start > 1 else [],
        list(range(start + 1, stop - 1)),
        [stop - 1],
        list(range(stop, last)),
        [last],
    )
    columns = [grid[:, place].mean(1) if place else np.full(len(grid), np.nan) for place in places]
    return np.stack(columns, axis=1)


def best_components(
    traced: Sequence[Traced], weights: Float[np.ndarray, " fact"], unit: str
) -> dict[str, float | int | bool | str | None]:
    """Name the MLP, the attention and the head with the largest mean |score|, and its unit."""
    best: dict[str, float | int | bool | str | None] = {}
    for kind in ("mlp", "attn", "head"):
        scores = {
            name: float(weights @ [t.components[name] for t in traced])
            for name in traced[0].components
            if kind_of(name) == kind
        }
        if scores:
            top = max(scores, key=lambda name: abs(scores[name]))
            best |= {f"components.top_{kind}": top, f"components.top_{kind}_score": scores[top]}
    return best | ({"components.unit": unit} if best else {})


def kind_of(name: str) -> str:
    return "head" if ".head." in name else name.rsplit(".", 1)[-1]


def component_names(model: Model, heads: bool) -> list[str]:
    """Every MLP and attention, in model order, with its heads if asked for."""
    names = []
    for layer in range(model.n_layers):
        names += [str(Component(layer, "attn"))]
        if heads:
            names += [str(Component(layer, "attn", head)) for head in range(model.n_heads)]
        names += [str(Component(layer, "mlp"))]
    return names


def _summary(
    traced: Sequence[Traced], prepared: Prepared, operations: int | None
) -> dict[str, float | int | bool | str | None]:
    corrupted = float(np.mean([t.corrupted for t in traced]))
    return {
        "facts.traced": len(traced),
        "facts.left_out": len(prepared.left_out),
        "corruption.random_instead": len(prepared.instead),
        "corruption.unreached": len(prepared.unreached),
        "metric.clean": float(np.mean([t.clean for t in traced])),
        **({} if math.isnan(corrupted) else {"metric.corrupted": corrupted}),
        "operations": operations,
    }


def traced_fact(traced: Traced) -> TracedFact:
    case = traced.case
    return TracedFact(
        id=case.fact.id,
        label=case.fact.subject,
        tokens=case.prompt.tokens,
        subject=case.prompt.subject,
        answer=case.fact.target,
        foil=case.fact.edit_target if case.foil is not None else "",
        clean=traced.clean,
        corrupted=None if math.isnan(traced.corrupted) else traced.corrupted,
    )


def stack(grids: Sequence[np.ndarray]) -> np.ndarray:
    """Stack (row, position) grids of facts; NaN past a fact's last position."""
    longest = max(grid.shape[1] for grid in grids)
    stacked = np.full((len(grids), grids[0].shape[0], longest), np.nan, dtype=np.float32)
    for i, grid in enumerate(grids):
        require_finite(torch.from_numpy(grid), f"Fact {i + 1} of {len(grids)}: its grid of scores")
        stacked[i, :, : grid.shape[1]] = grid
    return stacked


def _mean(parts: Sequence[np.ndarray], weights: Float[np.ndarray, " fact"]) -> np.ndarray:
    """Average over the facts that have a value; NaN where none has."""
    stacked = np.stack(parts)
    has = ~np.isnan(stacked)
    share = has * weights.reshape(-1, *[1] * (stacked.ndim - 1))
    total = share.sum(0)
    found = (np.nan_to_num(stacked) * share).sum(0)
    mean: np.ndarray = np.divide(found, total, out=np.full_like(found, np.nan), where=total > 0)
    return mean


def instead_table(prepared: Prepared) -> dict[str, Table]:
    """Facts that were corrupted in another way than asked for, or not wholly, with the reasons."""
    tables: dict[str, Table] = {}
    for name, told, words in (
        ("corruption", prepared.instead, "were corrupted with random tokens"),
        ("unreached", prepared.unreached, "share subject tokens with their corrupted prompts"),
    ):
        if told:
            title = f"{len(told)} facts {words}"
            rows = tuple(told.items())
            tables[name] = Table(title=title, columns=("Fact", "Why"), rows=rows)
    return tables


def ordered(traced: Mapping[str, Traced], prepared: Prepared) -> list[Traced]:
    """Put what was traced batch by batch back into the order of the facts."""
    return [traced[c.fact.id] for c in prepared.cases if c.fact.id in traced]
