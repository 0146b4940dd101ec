"""Which patches restore a component, what they need, and which positions go in one pass."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from worker.core.models.restart import NEEDED, Patch
from worker.core.patching.tracing import SHORT_TOKENS, component_patch, groups, needed_sites


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
