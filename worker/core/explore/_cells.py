"""Cells that are patched together: which activation of which token, and the hooks that put it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from worker.contract.base import Contract
from worker.contract.errors import UserError
from worker.core.explore._pair import Pair
from worker.core.models.components import output_columns
from worker.core.models.intercept import Replacement, seeing_input, seeing_output
from worker.core.models.model import Model
from worker.core.models.sites import Site, as_batch, both, module_at

Place = Literal["resid", "attn", "mlp", "head"]
SITES: dict[Place, Site] = {"resid": "resid_post", "attn": "attn", "mlp": "mlp", "head": "z"}


class Cell(Contract):
    """One activation: a site of a layer, at one token or at all, of one head or of all."""

    site: Place = "resid"
    layer: int = Field(ge=0)
    token: int | None = Field(None, ge=0)
    head: int | None = Field(None, ge=0)

    @property
    def words(self) -> str:
        head = "" if self.head is None else f" {self.head}"
        token = "all tokens" if self.token is None else f"token {self.token}"
        return f"{self.site}{head} of layer {self.layer} at {token}"


def check_cells(model: Model, n_positions: int, cells: Sequence[Cell]) -> None:
    """Raise UserError for cells that the model or the prompt does not have."""
    if not cells:
        raise UserError("No cell is chosen; expected at least one to patch.", field="options.cells")
    for number, cell in enumerate(cells):
        wrong = ""
        if cell.layer >= model.n_layers:
            wrong = f"{model.id!r} has layers 0 to {model.n_layers - 1}"
        elif cell.token is not None and cell.token >= n_positions:
            wrong = f"the prompt has tokens 0 to {n_positions - 1}"
        elif (cell.site == "head") != (cell.head is not None):
            wrong = "a head belongs to the site head, and to no other"
        elif cell.head is not None and cell.head >= model.n_heads:
            wrong = f"{model.id!r} has heads 0 to {model.n_heads - 1}"
        if wrong:
            raise UserError(
                f"The cell {cell.words} cannot be patched: {wrong}.",
                field=f"options.cells.{number}",
            )


@dataclass(frozen=True)
class _Put:
    """What goes into an activation: rows and places of it, and the other run's values."""

    row: int
    places: slice
    columns: slice
    values: Float[Tensor, "pos width"]


def put_cells(pair: Pair, sets: Sequence[Sequence[Cell]]) -> dict[nn.Module, Replacement]:
    """Make the replacements for a run that has every context once per set of cells, set by set."""
    puts: dict[tuple[Place, int], list[_Put]] = {}
    n = len(pair.contexts)
    for number, cells in enumerate(sets):
        for cell in cells:
            for context in range(n):
                put = _put(pair, cell, context, number * n + context)
                puts.setdefault((cell.site, cell.layer), []).append(put)
    shape = (len(sets) * n, pair.base.n_positions)
    model = pair.subject.model
    replacements: dict[nn.Module, Replacement] = {}
    for (place, layer), own in puts.items():
        seeing = seeing_input if place == "head" else seeing_output
        module = module_at(model, SITES[place], layer)
        replacements = both(replacements, {module: seeing(_writing(own, shape))})
    return replacements


def _put(pair: Pair, cell: Cell, context: int, row: int) -> _Put:
    source = pair.row(1 - pair.into, context)
    column = pair.column(context, cell.token or 0)
    places = slice(column, None if cell.token is None else column + 1)
    base = pair.base
    activation = (
        base.resid[cell.layer + 1]
        if cell.site == "resid"
        else base.sites[SITES[cell.site]][cell.layer]
    )
    columns = slice(None) if cell.head is None else output_columns(pair.subject.model, cell.head)
    return _Put(row, places, columns, activation[source, places, columns])


def _writing(puts: Sequence[_Put], shape: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    def write(activation: Tensor) -> Tensor:
        found = activation.clone()
        view = as_batch(found, shape)
        for put in puts:
            view[put.row, put.places, put.columns] = put.values
        return found

    return write
