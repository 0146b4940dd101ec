"""Adapters add alpha / rank · B A to every linear map of the blocks, and leave no trace."""

from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

from tests.worker.core.models.families import N_TOKENS, make_model, make_tokenizer
from worker.core.models.deltas import checksum
from worker.core.models.model import Model
from worker.core.training.adapters import _merged_forward, adapted, adapters_of, lora

IDS = torch.tensor([[0, 11, 12, 13], [0, 21, 22, 23]])


def logits(model: Model) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.hf(IDS).logits
    return found


def drawn(parameters: list[nn.Parameter]) -> None:
    """Give every adapter numbers, so that its map is not nought."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            parameter.normal_(std=0.1, generator=generator)


def layers_of(model: Model) -> list[Any]:
    return [module for module in model.hf.modules() if hasattr(module, "lora_A")]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize(("family", "n_maps"), [("llama", 21), ("gpt2", 12)])
def test_an_adapted_model_is_the_one_whose_weights_have_the_adapters_added(
    family: str, n_maps: int, dropout: float
) -> None:
    model = make_model(family)
    before = logits(model)
    with lora(model, 3, 6.0, dropout) as parameters:
        model.hf.eval()
        torch.testing.assert_close(logits(model), before, atol=1e-5, rtol=1e-5)
        drawn(parameters)
        found = logits(model)
        maps = layers_of(model)
        assert len(maps) == n_maps and len(parameters) == 2 * n_maps
        weights = [(one.base_layer.weight, one.lora_A["default"].weight,
                    one.lora_B["default"].weight) for one in maps]  # fmt: skip
    changed = []
    with torch.no_grad():
        for weight, a, b in weights:
            assert a.shape[0] == b.shape[1] == 3
            change = 2.0 * b @ a  # alpha 6 over rank 3
            own = weight.clone()
            weight += change.T if family == "gpt2" else change
            changed.append((weight, own))
        expected = logits(model)
        for weight, own in changed:
            weight.copy_(own)
    assert not torch.allclose(found, before, atol=0.1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(model), before, atol=0, rtol=0)


def test_maps_are_merged_only_without_dropout_and_in_one_precision() -> None:
    def merged(model: Model, dropout: float) -> set[bool]:
        with lora(model, 2, 2.0, dropout):
            return {"forward" in vars(one) for one in layers_of(model)}

    assert merged(make_model("llama"), 0.0) == {True}
    assert merged(make_model("llama"), 0.1) == {False}
    made = make_model.__wrapped__("llama")
    half = Model("half", made.hf.to(torch.bfloat16), made.tokenizer)
    assert merged(half, 0.0) == {False}, "adapters are in single precision"


def test_leaving_takes_the_adapters_off_also_where_something_went_wrong() -> None:
    model = make_model("llama")
    wanted = model.blocks[0].mlp.up_proj.weight
    wanted.requires_grad_(True)
    before, names = checksum(model), [name for name, _ in model.hf.named_parameters()]
    kinds = [type(module) for module in model.hf.modules()]
    with pytest.raises(ZeroDivisionError), lora(model, 2, 2.0, 0.0) as parameters:
        assert all(p.requires_grad for p in parameters) and not wanted.requires_grad
        drawn(parameters)
        model.hf(IDS).logits.sum().backward()
        wanted.grad = torch.ones_like(wanted)
        raise ZeroDivisionError
    assert checksum(model) == before
    assert [name for name, _ in model.hf.named_parameters()] == names
    assert [type(module) for module in model.hf.modules()] == kinds
    assert not hasattr(model.hf, "peft_config")
    assert [n for n, p in model.hf.named_parameters() if p.requires_grad] == [
        "model.layers.0.mlp.up_proj.weight"
    ]
    assert all(p.grad is None for p in model.hf.parameters())
    wanted.requires_grad_(False)


@pytest.mark.parametrize(("rank", "used"), [(4096, 32), (32, 32), (5, 5)])
def test_a_rank_above_the_width_is_cut_to_it(rank: int, used: int) -> None:
    model = make_model("gpt2")
    with lora(model, rank, 8.0, 0.0) as parameters:
        assert {min(p.shape) for p in parameters} == {used}
        assert {one.scaling["default"] for one in layers_of(model)} == {8.0 / used}


def test_dropout_is_what_was_asked_for_and_none_without_asking() -> None:
    model = make_model("llama")

    def probabilities() -> set[float]:
        found = [one.lora_dropout["default"] for one in layers_of(model)]
        return {one.p if isinstance(one, nn.Dropout) else 0.0 for one in found}

    with adapted(model, 2, 2.0, 0.25):
        assert probabilities() == {0.25}
    with adapted(model, 2, 2.0) as wrapped:
        assert probabilities() == {0.0}
        assert {tuple(p.shape) for p in adapters_of(wrapped)} == {
            (2, 32), (32, 2), (16, 2), (48, 2), (2, 48),
        }  # fmt: skip


def test_experts_and_routers_that_stand_in_no_linear_module_are_adapted_too() -> None:
    config = hf.MixtralConfig(
        vocab_size=N_TOKENS, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, num_local_experts=3,
    )  # fmt: skip
    model = Model("experts", hf.AutoModelForCausalLM.from_config(config), make_tokenizer())
    before = checksum(model)
    with adapted(model, 2, 2.0) as wrapped:
        names = [name for name, _ in wrapped.named_parameters() if "lora_A" in name]
    of = {"q_proj", "k_proj", "v_proj", "o_proj", "gate", "experts"}
    assert {part for name in names for part in name.split(".") if part in of} == of
    assert len(names) == 4 + 1 + 2, "four projections, the router, the experts' two matrices"
    assert checksum(model) == before


def test_the_weight_is_made_once_a_step_and_anew_after_its_gradient_or_without_one() -> None:
    base, asked = nn.Linear(3, 2), []
    base.requires_grad_(False)
    change = nn.Parameter(torch.ones(2, 3))

    def delta(name: str) -> Tensor:
        asked.append(name)
        return 2 * change

    forward, x = _merged_forward(delta, base), torch.tensor([[1.0, 2.0, 3.0]])
    with torch.no_grad():
        for n in (1, 2):
            torch.testing.assert_close(forward(x), base(x) + 12)
            assert asked == ["default"] * n, "without a gradient nothing is kept"
    first, second = forward(x), forward(x)
    assert len(asked) == 3, "two forwards of a step share one weight"
    with torch.no_grad():
        change += 1
        torch.testing.assert_close(forward(x), base(x) + 24)
    assert len(asked) == 4
    (first.sum() + second.sum()).backward()
    torch.testing.assert_close(change.grad, 4 * x.expand(2, 3))
    torch.testing.assert_close(forward(x), base(x) + 24)
    assert len(asked) == 5
    transposed = hf.pytorch_utils.Conv1D(2, 3)
    turned = _merged_forward(lambda name: torch.ones(3, 2), transposed)
    torch.testing.assert_close(turned(x), transposed(x) + 6)
