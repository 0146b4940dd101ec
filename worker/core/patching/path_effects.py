"""Effects of path patches per fact, over the positions that can matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.contract.components import Component
from worker.core.models.paths import Receivers, patch_paths
from worker.core.models.restart import Pairs
from worker.core.patching.bench import Bench, mean_by

_ROWS = 1024  # rows that travel together


def path_effects(
    bench: Bench,
    senders: Sequence[Sequence[Component]],
    receivers: Receivers,
    hold_mlps: bool,
) -> Float[np.ndarray, "fact senders"]:
    """Change of the metric from the corrupted run, for each set of senders."""
    starts = torch.tensor(bench.starts(), device=bench.fact_of_pair.device)[bench.fact_of_pair]
    # No attention moves anything when all are held, so the last position is all that counts.
    only_last = receivers.resid_pre == bench.base.model.n_layers
    if only_last:
        starts = torch.full_like(starts, bench.base.n_positions - 1)
    found = np.zeros((len(bench.items), len(senders)))
    for start in sorted(set(starts.tolist())):
        chosen = torch.nonzero(starts == start).flatten()
        pairs = Pairs(bench.pairs.clean[chosen], bench.pairs.corrupted[chosen])
        size = max(1, _ROWS // len(pairs))
        parts = [
            _effects(bench, senders[i : i + size], receivers, pairs, start, chosen, hold_mlps)
            for i in range(0, len(senders), size)
        ]
        if not parts:
            continue
        values = mean_by(
            torch.cat(parts).cpu(), bench.fact_of_pair[chosen].cpu(), len(bench.items)
        ).T
        here = ~np.isnan(values[:, 0])
        found[here] = values[here]
    return found


def _effects(
    bench: Bench,
    senders: Sequence[Sequence[Component]],
    receivers: Receivers,
    pairs: Pairs,
    start: int,
    chosen: Int[Tensor, " n"],
    hold_mlps: bool,
) -> Float[Tensor, "senders n"]:
    """Measure some senders together, as the change from the corrupted run."""

    def measure(logits: Tensor, pair: Tensor) -> Tensor:
        return bench.measure(logits, chosen[pair])

    args = (receivers, pairs, start, measure, hold_mlps)
    if bench.compared_beside:
        values = patch_paths(bench.base, [*senders, ()], *args)
        return values[:-1] - values[-1:]
    return patch_paths(bench.base, senders, *args) - bench.unpatched_pairs[chosen]
