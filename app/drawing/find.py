"""Finds figures: one file in `app/figures`, or in the plugins' `figures/`, is one figure.

A figure's module has `offers(result)`, which says in which forms this result can be drawn by it,
and `draw(source, ask)`, where `ask` holds the parameters of the figure's address.
"""

import importlib
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType

from app.drawing.drawing import Drawing, Offer, Source
from worker.contract.base import unknown
from worker.contract.plugins import public_modules
from worker.contract.result import Result

ORDER = (
    "verdict_bars",
    "lookup_layers",
    "prompt_heatmap",
    "roles_heatmap",
    "components_heatmap",
    "probes_heatmap",
    "training_curves",
)
"""What a reader wants to see first; the others follow by name."""


@lru_cache
def figures() -> dict[str, ModuleType]:
    """Every figure's module, by name, in the order in which a page shows them."""
    package = importlib.import_module("app.figures")
    names = [module.name for module in public_modules(package, "figures")]
    names.sort(key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))
    return {name: importlib.import_module(f"app.figures.{name}") for name in names}


def offers(result: Result) -> list[Offer]:
    """Every figure that this result has."""
    return [offer for module in figures().values() for offer in module.offers(result)]


def draw(name: str, source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one figure of a result; UserError for an unknown figure or parameter."""
    if name not in figures():
        raise unknown("figure", name, sorted(figures()), field="figure")
    drawn: Drawing = figures()[name].draw(source, ask)
    return drawn
