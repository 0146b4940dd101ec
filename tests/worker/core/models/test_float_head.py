"""Logits are float32 in every dtype, and patches of 16 bits are compared in their own batch."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.components import Component
from worker.contract.facts import Fact
from worker.core.models.float_head import _Product
from worker.core.models.intercept import first_tensor
from worker.core.models.model import Model
from worker.core.models.paths import NEEDED, Receivers
from worker.core.models.restart import Patch
from worker.core.patching.bench import Bench, make_bench
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.path_effects import path_effects
from worker.core.patching.tracing import patch_grid, patch_whole
from worker.core.rounding import rounding_at

IDS = torch.tensor([[0, 40, 50, 60, 70, 41], [0, 99, 98, 97, 96, 95]])
FACTS = [
    Fact(id="a", subject="Ann Lee", prompt="So {} is at", target="ball", edit_target="golf"),
    Fact(id="b", subject="Bo", prompt="On {} is at", target="golf", edit_target="ball"),
]


def half(family: str) -> Model:
    made = make_model.__wrapped__(family)  # not the shared one: its dtype is changed
    return Model(family, made.hf.bfloat16(), made.tokenizer)


@pytest.mark.parametrize("family", FAMILIES)
def test_final_norm_and_logits_are_those_of_float32_from_the_last_residual(family: str) -> None:
    model, seen = half(family), []
    hook = model.blocks[-1].register_forward_hook(lambda *a: seen.append(first_tensor(a[2])))
    with torch.no_grad():
        found = model.hf(IDS).logits
    hook.remove()
    assert found.dtype == torch.float32 and seen[0].dtype == torch.bfloat16
    # By hand: the same modules with float32 weights, in a copy without the stand-ins.
    head = copy.deepcopy(model.hf.get_submodule(model.layout.unembed))
    head.__dict__.pop("forward")
    hidden = seen[0].float()
    if model.layout.ln_final:
        norm = copy.deepcopy(model.hf.get_submodule(model.layout.ln_final))
        norm.__dict__.pop("forward")
        hidden = norm.float()(hidden)
    expected = head.float()(hidden)
    cap = getattr(model.hf.config, "final_logit_softcapping", None)
    expected = cap * torch.tanh(expected / cap) if cap else expected
    bound = rounding_at(float(expected.abs().max()), torch.float32)
    torch.testing.assert_close(found, expected, atol=bound, rtol=0)


def test_a_product_in_pieces_and_its_gradients_are_the_whole_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.core.models.float_head._PIECE_BYTES", 4 * 8 * 5)  # 5 rows
    torch.manual_seed(0)
    x = torch.randn(3, 2, 8)
    weight, bias = torch.randn(12, 8).bfloat16(), torch.randn(12).bfloat16()
    ours, theirs = (
        [v.detach().clone().requires_grad_() for v in (x, weight, bias)] for _ in range(2)
    )
    one = _Product.apply(*ours)
    other = nn.functional.linear(theirs[0], theirs[1].float(), theirs[2].float())
    torch.testing.assert_close(one, other)
    for out in (one, other):
        out.square().sum().backward()
    for mine, given in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, given.grad)


def test_a_model_of_32_bits_keeps_its_own_forwards() -> None:
    model = make_model("llama")
    assert not any("forward" in vars(module) for module in model.hf.modules())


def bench_of(model: Model) -> Bench:
    prepared = prepare(model, FACTS, 0.0, True)
    items = corrupt(model, prepared, "noise", samples=3, noise_level=3.0, seed=0)
    return make_bench(model, items, "logit_diff", [*NEEDED])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "neox"])
@pytest.mark.parametrize("noising", [False, True])
def test_in_16_bits_a_patch_of_nothing_changes_nothing_whatever_is_beside_it(
    family: str, noising: bool
) -> None:
    bench = bench_of(half(family))
    bench.noising = noising
    others = [Patch("resid_post", layer) for layer in range(3)] + [Patch("head", 1, head=2)]
    nothing = Patch("nothing", 0)
    grid = patch_grid(bench, [*others, nothing, *others], lambda share: None)
    assert np.nanmax(np.abs(grid[:, len(others)])) == 0.0
    assert not patch_whole(bench, [nothing, *others])[:, 0].any()
    last = Patch("resid_post", 2)
    whole = patch_whole(bench, [last])[:, 0]  # all of the stream: the other run
    wanted = (bench.corrupted - bench.clean) * (1 if noising else -1)
    bound = [change.rounding for change in bench.changes]
    assert (np.abs(whole - wanted) <= bound).all()


def test_in_16_bits_a_path_from_nothing_changes_nothing() -> None:
    bench = bench_of(half("llama"))
    senders = [(Component(0, "mlp"),), (), (Component(1, "attn", 2),)]
    for receivers in (Receivers(resid_pre=3), Receivers(resid_pre=2)):
        found = path_effects(bench, senders, receivers, hold_mlps=False)
        assert not found[:, 1].any() and found[:, 0].all()


def test_in_32_bits_nothing_is_added_to_a_batch() -> None:
    bench = bench_of(make_model("llama"))
    assert not bench.compared_beside
    assert bench.with_nothing([Patch("mlp", 1)]) == [Patch("mlp", 1)]
