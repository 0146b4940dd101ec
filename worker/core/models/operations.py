"""Floating-point operations by formula: multiplications and additions of the matrix products."""

from __future__ import annotations

from worker.core.kept import once_for_each
from worker.core.models.components import component_parameters
from worker.core.models.model import Model


def block_operations(model: Model, rows: int, positions: int, keys: int) -> int:
    """Count one block's operations on `rows` of `positions`, each attending to `keys` places."""
    attention = 4 * keys * model.n_heads * model.d_head
    return rows * positions * (2 * _weights_per_block(model) + attention)


def unembed_operations(model: Model, rows: int) -> int:
    """Count the operations of unembedding one position of `rows`."""
    return 2 * rows * model.d_model * model.d_vocab


def forward_operations(model: Model, rows: int, positions: int) -> int:
    """Count a whole forward's operations, with one position unembedded."""
    blocks = model.n_layers * block_operations(model, rows, positions, positions)
    return blocks + unembed_operations(model, rows)


@once_for_each
def _weights_per_block(model: Model) -> int:
    counts = component_parameters(model)
    return sum(count for name, count in counts.items() if ".head." not in name) // model.n_layers
