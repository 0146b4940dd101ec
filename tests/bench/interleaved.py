"""Run several computations in turn, round after round, so that all meet the same machine."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Run = Callable[[], float]
"""Does one round and gives its seconds."""


class Timed:
    """A computation whose rounds are timed; its last value is kept."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run, self.value = run, None

    def __call__(self) -> float:
        synchronize()
        begun = time.perf_counter()
        self.value = self.run()
        synchronize()
        return time.perf_counter() - begun


def synchronize() -> None:
    """Wait until a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interleave(
    runs: Mapping[str, Run], seconds: float, least: int = 3, most: int = 15
) -> tuple[dict[str, float], int]:
    """Median seconds of each, and how many rounds: `least`, and more while `seconds` last."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    begun, rounds = time.perf_counter(), 0
    while rounds < least or (rounds < most and time.perf_counter() - begun < seconds):
        rounds += 1
        for name, run in runs.items():
            times[name].append(run())
    return {name: statistics.median(found) for name, found in times.items()}, rounds
