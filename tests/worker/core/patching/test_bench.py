"""Means over copies, and how many facts are run at once."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from worker.core.models.restart import Patch
from worker.core.patching import bench
from worker.core.patching.bench import Bench, facts_per_batch, mean_by


def test_columns_are_averaged_by_group_and_a_group_without_columns_is_unknown() -> None:
    values = torch.tensor([[1.0, 3.0, 10.0], [2.0, 4.0, 20.0]])
    found = mean_by(values, torch.tensor([0, 0, 2]), 3)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[2.0, np.nan, 10.0], [3.0, np.nan, 20.0]])


def items(copies: int, length: int) -> Any:
    return [SimpleNamespace(embeds=range(copies), case=SimpleNamespace(length=length))] * 3


@pytest.mark.parametrize(
    ("device", "free", "copies", "n_patches", "expected"),
    [
        ("cpu", 2**40, 1, 1, 4),
        ("cpu", 2**40, 2, 256, 2),
        ("cpu", 2**40, 8, 512, 1),
        ("cuda", 2**40, 8, 512, 256),
        ("cuda", 0, 1, 1, 1),
    ],
)
def test_as_many_facts_as_fit_and_as_fill_the_device(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    free: int,
    copies: int,
    n_patches: int,
    expected: int,
) -> None:
    monkeypatch.setattr(bench, "free_bytes", lambda device: free)
    model: Any = SimpleNamespace(device=SimpleNamespace(type=device), n_layers=4, d_model=8)
    assert facts_per_batch(model, items(copies, 10), n_patches) == expected


def test_memory_bounds_the_facts_by_what_is_kept_and_what_is_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: Any = SimpleNamespace(device=SimpleNamespace(type="cuda"), n_layers=4, d_model=8)
    kept, carried = 3 * 10 * 4 * 5 * 8, 2 * 6 * 10 * 8 * 8
    for facts in (1, 2, 7):
        free = 4 * (kept + carried) * facts
        monkeypatch.setattr(bench, "free_bytes", lambda device, free=free: free + 1)
        assert facts_per_batch(model, items(2, 10), 6) == facts


@pytest.mark.parametrize(("noising", "unpatched"), [(False, [0.25, 0.5]), (True, [1.0, 2.0])])
def test_what_is_patched_is_the_corrupted_run_or_in_noising_the_clean_one(
    noising: bool, unpatched: list[float]
) -> None:
    nothing: Any = None
    changes: Any = [SimpleNamespace(clean=c, corrupted=k) for c, k in ((1.0, 0.25), (2.0, 0.5))]
    base: Any = SimpleNamespace(model=SimpleNamespace(dtype=torch.float32))
    made = Bench(
        *(nothing, base, nothing, nothing, nothing, nothing, "probability"),
        changes=changes,
        noising=noising,
    )
    assert made.unpatched.tolist() == unpatched
    assert (made.clean.tolist(), made.corrupted.tolist()) == ([1.0, 2.0], [0.25, 0.5])
    patches = [Patch("mlp", 1)]
    assert made.with_nothing(patches) == patches and not made.compared_beside
    base.model.dtype = torch.bfloat16
    assert made.with_nothing(patches) == [*patches, Patch("nothing", 0)]
