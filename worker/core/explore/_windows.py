"""The part of a long prompt that a map shows."""

from __future__ import annotations

from worker.contract.errors import UserError
from worker.core.explore._options import Span

MOST_SHOWN = 64
"""Tokens of a map when no window is asked for."""


def window(asked: Span | None, n_positions: int) -> Span:
    """Give the first token and one past the last of what is shown; raise UserError for no token."""
    if asked is None:
        return max(0, n_positions - MOST_SHOWN), n_positions
    start, stop = asked
    if not 0 <= start < stop <= n_positions:
        raise UserError(
            f"positions is {start} to {stop}; expected a first token and one past the last, within "
            f"0 to {n_positions}.",
            field="options.positions",
        )
    return start, stop
