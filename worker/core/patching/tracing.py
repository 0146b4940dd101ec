"""Run patches over positions for many facts at once, through the restart engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.components import parse_component
from worker.core.models.restart import NEEDED, Ends, Patch
from worker.core.models.sites import Site
from worker.core.patching.bench import Bench
from worker.core.patching.told_rows import Row

SHORT_TOKENS = {False: 2048, True: 65536}
"""Rows times positions up to which a pass is short, on a CPU and on a GPU."""
WAITING_ROWS = 128  # rows that are unembedded together


def component_patch(name: str) -> Patch:
    """The patch that restores one component."""
    component = parse_component(name)
    if component.head is not None:
        return Patch("head", component.layer, head=component.head)
    return Patch("mlp" if component.kind == "mlp" else "attn", component.layer)


def needed_sites(patches: Sequence[Patch]) -> list[Site]:
    """Which activations the base run must keep for these patches."""
    return list(dict.fromkeys(site for patch in patches for site in NEEDED[patch.site]))


def _from_unpatched(
    bench: Bench, measured: Float[np.ndarray, "patch fact"], here: np.ndarray
) -> Float[np.ndarray, "fact patch"]:
    """Give the change that each patch makes of facts `here` to the run that is patched."""
    values: np.ndarray = measured.T[here]
    if bench.compared_beside:
        return np.asarray(values[:, :-1] - values[:, -1:])
    return np.asarray(values - bench.unpatched[here, None])


def patch_grid(
    bench: Bench,
    patches: Sequence[Patch],
    tell: Callable[[float], None],
    row: Row | None = None,
) -> Float[np.ndarray, "fact patch pos"]:
    """Measure each patch at each position of each fact, as the change from the unpatched metric.

    Before a fact's first corrupted position the change is 0 by construction; padding is NaN.
    `row` is told what each position gave, the last ones first: they take least, so that a reader
    sees something at once.
    """
    n_positions, rows = bench.base.n_positions, bench.with_nothing(patches)
    found = np.full((len(bench.items), len(patches), n_positions), np.nan)
    for i, (offset, start) in enumerate(zip(bench.offsets, bench.starts(), strict=True)):
        found[i, :, offset:start] = 0.0
    waiting: list[tuple[list[int], Tensor, Ends]] = []
    parts = list(groups(bench, len(rows))) if patches else []
    whole = sum(n_positions - position for group, _ in parts for position in group)
    done = 0

    def flush() -> None:
        nonlocal done
        ends = [(chosen, end) for _, chosen, end in waiting]
        runs = bench.measured([len(rows) * len(group) for group, _, _ in waiting], ends)
        for (group, _, _), measured in zip(waiting, runs, strict=True):
            by_position = list(zip(group, np.split(measured, len(group)), strict=True))
            for position, values in reversed(by_position):
                here = ~np.isnan(values[0])
                found[here, :, position] = _from_unpatched(bench, values, here)
                if row is not None:
                    row(position, found[:, :, position])
                done += n_positions - position
                tell(done / whole)
        waiting.clear()

    for group, chosen in reversed(parts):
        shifted = [replace(patch, at=k) for k in range(len(group)) for patch in rows]
        waiting.append((group, chosen, bench.run(shifted, group[0], chosen)))
        # A few rows are unembedded as fast as one, so short runs wait for each other.
        if sum(len(c) * len(g) for g, c, _ in waiting) * len(rows) >= WAITING_ROWS:
            flush()
    if waiting:
        flush()
    return found


def groups(bench: Bench, n_patches: int) -> Iterator[tuple[list[int], Tensor]]:
    """Put positions together whose patches run in one pass, each with the pairs they are of.

    Later positions of a group are computed from its first on: at most 7 % more operations, for
    fewer passes where each is too short to fill the device.
    """
    device = bench.base.model.device.type
    waiting: list[int] = []
    last = torch.empty(0)
    for position, chosen in bench.positions():
        if waiting and not torch.equal(chosen, last):
            yield waiting, last
            waiting = []
        waiting, last = [*waiting, position], chosen
        left = bench.base.n_positions - waiting[0]
        is_short = len(chosen) * n_patches * left <= SHORT_TOKENS[device == "cuda"]
        if not is_short or len(waiting) >= 1 + left // 8:
            yield waiting, last
            waiting = []
    if waiting:
        yield waiting, last


def patch_whole(bench: Bench, patches: Sequence[Patch]) -> Float[np.ndarray, "fact patch"]:
    """Measure each patch at all corrupted positions at once, as the change from unpatched."""
    starts = torch.tensor(bench.starts(), device=bench.fact_of_pair.device)[bench.fact_of_pair]
    found = np.full((len(bench.items), len(patches)), np.nan)
    rows = bench.with_nothing(patches)
    for start in sorted(set(bench.starts())):
        values = bench.patch(rows, start, torch.nonzero(starts == start).flatten(), True)
        here = ~np.isnan(values[0])
        found[here] = _from_unpatched(bench, values, here)
    return found
