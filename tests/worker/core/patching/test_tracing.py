"""Which patches restore a component, what they need, and which positions go in one pass."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.core.models.restart import NEEDED, Patch
from worker.core.patching import tracing as _tracing
from worker.core.patching.bench import Bench, make_bench
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.tracing import (
    SHORT_TOKENS,
    component_patch,
    groups,
    needed_sites,
    patch_grid,
    patch_whole,
)


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("blocks.3.mlp", Patch("mlp", 3)),
        ("blocks.0.attn", Patch("attn", 0)),
        ("blocks.12.attn.head.5", Patch("head", 12, head=5)),
    ],
)
def test_a_component_has_its_own_patch(name: str, patch: Patch) -> None:
    assert component_patch(name) == patch


def test_the_sites_of_all_patches_are_kept_once() -> None:
    patches = [Patch("mlp", 0), Patch("mlp", 1), Patch("resid_post", 0)]
    assert needed_sites(patches) == list(dict.fromkeys([*NEEDED["mlp"], *NEEDED["resid_post"]]))
    assert needed_sites([]) == []


def bench(starts: list[int], n_positions: int) -> Any:
    """Pairs that are corrupted from these positions on."""
    begins = torch.tensor(starts)
    positions = [
        (at, torch.nonzero(begins <= at).flatten()) for at in range(min(starts), n_positions)
    ]
    model = SimpleNamespace(device=torch.device("cpu"))
    base = SimpleNamespace(n_positions=n_positions, model=model)
    return SimpleNamespace(base=base, positions=lambda: iter(positions))


@pytest.mark.parametrize("n_patches", [1, 64, 4096])
def test_every_position_is_in_one_group_with_the_pairs_that_are_corrupted_by_then(
    n_patches: int,
) -> None:
    starts = [2, 2, 5, 9]
    found = list(groups(bench(starts, 24), n_patches))
    assert [position for group, _ in found for position in group] == list(range(2, 24))
    for group, chosen in found:
        for position in group:
            assert chosen.tolist() == [i for i, start in enumerate(starts) if start <= position]
        left = 24 - group[0]
        is_short = len(chosen) * n_patches * left <= SHORT_TOKENS[False]
        assert len(group) <= (1 + left // 8 if is_short else 1)
    if n_patches == 4096:
        assert all(len(group) == 1 for group, _ in found), "a long pass is one position's"
    if n_patches == 1:
        assert len(found) < 22, "short passes are put together"


PATCHES = [Patch("mlp", 1), Patch("resid_post", 2), Patch("attn", 2)]


def of_two_facts() -> Bench:
    model = make_planted()
    long = FACTS[1].model_copy(update={"id": "long", "prompt": "Here {} is at"})
    prepared = prepare(model, [FACTS[0], long], 0.0, True)
    items = corrupt(model, prepared, "random_tokens", samples=2, noise_level=1.0, seed=0)
    return make_bench(model, items, "probability", needed_sites(PATCHES))


@pytest.mark.parametrize("waiting", [1, 12, 1000])
@pytest.mark.parametrize("noising", [False, True])
def test_a_grid_holds_the_change_that_each_patch_makes_at_each_position_alone(
    noising: bool, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, told, rows = of_two_facts(), [], {}
    made.noising = noising
    monkeypatch.setattr(_tracing, "WAITING_ROWS", waiting)
    found = patch_grid(made, PATCHES, told.append, lambda at, row: rows.update({at: row.copy()}))
    n_positions, begins = made.base.n_positions, made.starts()
    expected = np.full((2, 3, n_positions), np.nan)
    for fact, (offset, start) in enumerate(zip(made.offsets, begins, strict=True)):
        expected[fact, :, offset:start] = 0.0
        pairs = torch.nonzero(made.fact_of_pair == fact).flatten()
        for at in range(start, n_positions):
            alone = made.patch(PATCHES, at, pairs)[:, fact]
            expected[fact, :, at] = alone - made.unpatched[fact]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.nanmax(np.abs(found)) > 1e-3
    assert list(rows) == list(range(n_positions - 1, min(begins) - 1, -1)), "the last ones first"
    for at, row in rows.items():
        np.testing.assert_array_equal(row, found[:, :, at])
    lefts = np.cumsum([n_positions - at for at in rows])
    assert told == pytest.approx((lefts / lefts[-1]).tolist())


def test_without_patches_there_is_a_grid_of_none() -> None:
    told: list[float] = []
    assert patch_grid(of_two_facts(), [], told.append).shape == (
        2,
        0,
        of_two_facts().base.n_positions,
    )
    assert told == []


def test_a_patch_at_all_positions_is_that_of_each_fact_from_its_own_start() -> None:
    made = of_two_facts()
    found = patch_whole(made, PATCHES)
    for fact, start in enumerate(made.starts()):
        pairs = torch.nonzero(made.fact_of_pair == fact).flatten()
        alone = made.patch(PATCHES, start, pairs, whole=True)[:, fact]
        np.testing.assert_allclose(found[fact], alone - made.unpatched[fact], atol=1e-6)
    # All of the stream after block 2 restored is the clean run from there on.
    np.testing.assert_allclose(found[:, 1], made.clean - made.corrupted, atol=1e-5)


@pytest.mark.parametrize("beside", [False, True])
def test_a_change_is_from_the_run_that_is_patched_or_from_nothing_beside_it(beside: bool) -> None:
    here: Any = np.array([True, False])
    bench: Any = SimpleNamespace(compared_beside=beside, unpatched=np.array([0.5, 9.0]))
    measured = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    found = _tracing._from_unpatched(bench, measured, here)
    assert found.tolist() == ([[-3.0, -2.0]] if beside else [[0.5, 1.5, 3.5]])
