"""What a run takes is its own, not what the process took before it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from worker.core.machine import Spending

CPU = torch.device("cpu")
LARGE = 400_000_000


def touch(n_bytes: int) -> None:
    """Take memory, write to all of it, and let it go."""
    np.ones(n_bytes, dtype=np.uint8)


@pytest.mark.parametrize("noted", [True, False])
def test_the_peak_is_of_what_happens_inside_and_not_before(
    noted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not noted:  # as on a system that keeps no such note
        monkeypatch.setattr(Spending, "_RESET", tmp_path / "nowhere" / "clear_refs")
        monkeypatch.setattr(Spending, "LOOK", 0.001)
    with Spending(CPU) as first:
        for _ in range(10):
            touch(LARGE)
    with Spending(CPU) as second:
        touch(1000)
        small = second.peak_bytes
    assert first.peak_bytes - small > 0.8 * LARGE
    assert second.seconds >= 0 and first.seconds > 0


@pytest.mark.parametrize("noted", [True, False])
def test_what_the_process_holds_already_is_not_the_runs_but_for_its_own_model(
    noted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not noted:
        monkeypatch.setattr(Spending, "_RESET", tmp_path / "nowhere" / "clear_refs")
    held = np.ones(LARGE, dtype=np.uint8)
    with Spending(CPU) as nothing:
        touch(1000)
    with Spending(CPU, own=LARGE) as own:
        touch(1000)
    assert nothing.peak_bytes < 0.1 * LARGE
    assert own.peak_bytes == pytest.approx(LARGE, rel=0.1)
    assert held[-1] == 1
