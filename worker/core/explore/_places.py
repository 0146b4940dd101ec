"""Layers, heads and tokens that options name, checked against the model and the prompt."""

from __future__ import annotations

from worker.contract.errors import UserError
from worker.core.models.model import Model


def check_place(model: Model, name: str, value: int, n: int) -> None:
    """Raise UserError unless there is a layer or head of this number."""
    if value >= n:
        raise UserError(
            f"{name} is {value}; {model.id!r} has {name}s 0 to {n - 1}.", field=f"options.{name}"
        )


def token_of(n_positions: int, token: int | None) -> int:
    """The token that is meant, the last where none is named; raises UserError for none."""
    if token is not None and token >= n_positions:
        raise UserError(
            f"token is {token}; the prompt has tokens 0 to {n_positions - 1}.",
            field="options.token",
        )
    return n_positions - 1 if token is None else token
