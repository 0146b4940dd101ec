"""What a device takes for the work that `work.py` counts, measured once in a few hundredths of a
second.

1. Products of the model's own shapes, of as many rows as a usual batch has: seconds an operation.
2. A small operation again and again: seconds a pass through a block, of which it has some sixty.
3. Sums of long vectors: seconds a number that is touched.

What a machine computes beside is not measured: finished runs tell what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

from worker.core.ahead.work import Size, Work

ROWS = 128
"""Rows of a product: facts times positions of a small batch."""
LAUNCHES = 60
"""Small operations in a pass through a block."""
EVEN = 0.8
"""Share of a product's pace that products between other operations reach."""
SPENT = 0.02
"""Seconds that each is measured."""


@dataclass(frozen=True)
class Rate:
    """Seconds for one unit of each kind of work."""

    operation: float
    one_pass: float
    touch: float

    def seconds(self, work: Work) -> float:
        """Estimate how long some work takes."""
        return (
            work.operations * self.operation
            + work.passes * self.one_pass
            + work.touched * self.touch
        )


def rate_of(size: Size, device: torch.device, dtype: torch.dtype) -> Rate:
    """Measure a device, or give what was measured for blocks of the same width."""
    return _measured(size.d_model, size.mlp, str(device), dtype)


@lru_cache(maxsize=64)
@torch.no_grad()
def _measured(width: int, inner: int, device: str, dtype: torch.dtype) -> Rate:
    x = torch.ones(ROWS, width, device=device, dtype=dtype)
    up = torch.ones(width, inner, device=device, dtype=dtype)
    small = torch.ones(8, width, device=device, dtype=dtype)
    long = torch.ones(500_000, device=device)
    product = _time(lambda: x @ up, device) / (2 * ROWS * width * inner)
    launch = _time(lambda: small.add(1), device)
    touch = _time(lambda: long.add(1), device) / len(long)
    return Rate(product / EVEN, LAUNCHES * launch, touch)


def _time(run: Callable[[], object], device: str) -> float:
    """Seconds of one call: the least of those that fit into SPENT, which nothing else disturbed."""
    run()
    taken: list[float] = []
    until = time.perf_counter() + SPENT
    while len(taken) < 3 or time.perf_counter() < until:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        begun = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return min(taken)
