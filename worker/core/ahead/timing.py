"""What a run's parts take while it is computed, beside what they were told to take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from worker.contract.pace import Pace
from worker.core.ahead.estimate import Part
from worker.core.asking.kept import spared_seconds


class Timed:
    """Times a run's parts; what fails is not remembered."""

    def __init__(self, parts: Sequence[Part], paces: dict[str, float], device: str) -> None:
        """Take the run's parts, their corrections, and the device's name."""
        self._told = {part.work: part.seconds for part in parts}
        self._whole = {part.work: part.unspared or part.seconds for part in parts}
        self._paces, self._device = paces, device
        self.paces: list[Pace] = []

    @contextmanager
    def part(self, work: str) -> Iterator[None]:
        """Time one part, with what it was spared because the base was measured before.

        The pace is of the whole, told as if nothing were known of the base.
        """
        begun = time.perf_counter()
        with spared_seconds() as spared:
            yield
        told, seen = self._whole.get(work), time.perf_counter() - begun + sum(spared)
        if told:
            self.paces.append(Pace(work=work, device=self._device, told=told, seen=seen))

    def shares(self, works: Sequence[str]) -> list[float]:
        """Each part's share of the run's time as it was told, corrected; even where unknown."""
        told = [self._told.get(work) for work in works]
        if not told or any(not one for one in told):
            return [1 / len(works)] * len(works)
        corrected = [
            (one or 0.0) * self._paces.get(w, 1.0) for one, w in zip(told, works, strict=True)
        ]
        return [one / sum(corrected) for one in corrected]
