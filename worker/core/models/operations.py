"""Floating-point operations by formula: multiplications and additions of the matrix products."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from worker.core.models.components import component_parameters
from worker.core.models.model import Model

_known: WeakKeyDictionary[Model, int] = WeakKeyDictionary()


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


def _weights_per_block(model: Model) -> int:
    if model not in _known:
        counts = component_parameters(model)
        whole = sum(count for name, count in counts.items() if ".head." not in name)
        _known[model] = whole // model.n_layers
    return _known[model]
