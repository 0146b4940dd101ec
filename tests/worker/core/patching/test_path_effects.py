"""Path patches: which pairs travel together, from where, and what their change is counted from."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.core.models.families import make_model
from worker.contract.components import Component
from worker.contract.facts import Fact
from worker.core.models.paths import NEEDED, Receivers
from worker.core.models.restart import Pairs
from worker.core.patching import path_effects as tested
from worker.core.patching.bench import make_bench
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.path_effects import path_effects

MLP = Component(0, "mlp")
ENDS = Receivers(resid_pre=2)


class Bench:
    """Three facts of one, two and one pairs, corrupted from positions 1, 4 and 1 of 6."""

    compared_beside = False

    def __init__(self) -> None:
        self.base: Any = SimpleNamespace(model=SimpleNamespace(n_layers=3), n_positions=6)
        self.items = [None] * 3
        self.fact_of_pair = torch.tensor([0, 1, 1, 2])
        self.pairs = Pairs(torch.tensor([0, 1, 1, 2]), torch.tensor([3, 4, 5, 6]))
        self.unpatched_pairs = torch.tensor([10.0, 20.0, 30.0, 40.0])

    def starts(self) -> list[int]:
        return [1, 4, 1]

    def measure(self, logits: Tensor, pair: Tensor) -> Tensor:
        return 1000 * logits + pair


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand-in patches: sender k gives k, or 0.5 where nothing is sent; and what they were asked.

    As patches are measured through `measure`, a value is 1000 k + the pair's place in the bench.
    """
    asked: list[Any] = []

    def patch(
        base: Any, senders: Sequence[Any], receivers: Any, pairs: Pairs, start: int, measure: Any,
        hold: bool,
    ) -> Tensor:  # fmt: skip
        n = len(pairs)
        asked.append((senders, receivers, pairs.clean.tolist(), pairs.corrupted.tolist(), start,
                      hold))  # fmt: skip
        gives = torch.tensor([float(one[0].layer) if one else 0.5 for one in senders])
        pair = torch.arange(n).repeat(len(senders))
        return measure(gives.repeat_interleave(n), pair).view(len(senders), n)

    monkeypatch.setattr(tested, "patch_paths", patch)
    return asked


def test_facts_corrupted_from_one_position_travel_together_and_copies_are_averaged(
    calls: list[Any],
) -> None:
    bench: Any = Bench()
    senders = [(Component(2, "mlp"),), (Component(5, "mlp"),)]
    found = path_effects(bench, senders, ENDS, hold_mlps=True)
    assert [call[1:] for call in calls] == [
        (ENDS, [0, 2], [3, 6], 1, True),
        (ENDS, [1, 1], [4, 5], 4, True),
    ]
    # 1000 layer + pair, less the pair's own corrupted metric; fact 1 of pairs 1 and 2.
    assert found.tolist() == [
        [2000 - 10, 5000 - 10],
        [2000 + 1.5 - 25, 5000 + 1.5 - 25],
        [2000 + 3 - 40, 5000 + 3 - 40],
    ]


def test_paths_to_the_final_residual_run_at_the_last_position_alone(calls: list[Any]) -> None:
    bench: Any = Bench()
    path_effects(bench, [(MLP,)], Receivers(resid_pre=3), hold_mlps=False)
    assert [call[2:] for call in calls] == [([0, 1, 1, 2], [3, 4, 5, 6], 5, False)]


def test_senders_are_cut_into_parts_of_so_many_rows(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "_ROWS", 4)
    bench: Any = Bench()
    senders = [(Component(layer, "mlp"),) for layer in range(5)]
    found = path_effects(bench, senders, ENDS, hold_mlps=False)
    assert [len(call[0]) for call in calls] == [2, 2, 1] * 2
    assert found[0].tolist() == [1000 * layer - 10 for layer in range(5)]
    calls.clear()
    monkeypatch.setattr(tested, "_ROWS", 1)
    assert path_effects(bench, senders, ENDS, hold_mlps=False).tolist() == found.tolist()
    assert [len(call[0]) for call in calls] == [1] * 10


def test_without_senders_nothing_is_run(calls: list[Any]) -> None:
    bench: Any = Bench()
    assert path_effects(bench, [], ENDS, hold_mlps=False).shape == (3, 0) and calls == []


def test_in_half_precision_effects_are_counted_from_nothing_sent_in_the_same_batch(
    calls: list[Any],
) -> None:
    bench: Any = Bench()
    bench.compared_beside = True
    found = path_effects(bench, [(Component(2, "mlp"),), (Component(5, "mlp"),)], ENDS, True)
    assert [call[0][-1] for call in calls] == [(), ()]
    assert found.tolist() == [[1500, 4500]] * 3, "less 1000 times 0.5; the pair cancels"


def test_the_effect_of_what_is_written_last_is_a_patch_of_the_final_residual() -> None:
    """The last MLP's change reaches the logits through the final norm alone: worked out by hand."""
    model = make_model("llama")
    facts = [
        Fact(id="a", subject="Ann Lee", prompt="So {} is at", target="ball", edit_target="golf"),
        Fact(id="b", subject="Bo", prompt="On {} is at", target="golf", edit_target="ball"),
    ]
    items = corrupt(
        model, prepare(model, facts, 0.0, True), "random_tokens", samples=2, noise_level=1, seed=0
    )
    bench = make_bench(model, items, "logit_diff", (*NEEDED, "mlp_write"))
    found = path_effects(bench, [(Component(2, "mlp"),)], Receivers(resid_pre=3), hold_mlps=True)
    final, write = bench.base.resid[-1][:, -1], bench.base.sites["mlp_write"][2][:, -1]
    clean, corrupted = bench.pairs.clean, bench.pairs.corrupted
    with torch.no_grad():
        patched = final[corrupted] + write[clean] - write[corrupted]
        before, after = (
            model.hf.lm_head(model.hf.model.norm(h)) for h in (final[corrupted], patched)
        )
    change = bench.measure(after, torch.arange(4)) - bench.measure(before, torch.arange(4))
    expected = change.view(2, 2).mean(1)
    assert expected.abs().min() > 1e-3
    assert found[:, 0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)
