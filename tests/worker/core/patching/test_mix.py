"""Mixed runs: gates all open are the clean run, and each gate moves its own component."""

import pytest
import torch
from torch import Tensor

from tests.worker.core.localization.planted import FACTS, make_planted
from tests.worker.core.models.families import make_model
from worker.core.models.model import Model
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.mix import Mixer, gate_names
from worker.core.patching.pairing import make_pairs

FAMILIES = ["llama", "gpt2", "gemma2", "neox", "opt"]


def mixer(model: Model, n: int = 2) -> Mixer:
    facts = [f.model_copy(update={"subject": f.subject * (i + 1)}) for i, f in enumerate(FACTS[:n])]
    prepared = prepare(model, facts, 0.0, False)
    items = corrupt(model, prepared, "random_tokens", samples=1, noise_level=1.0, seed=0)
    return Mixer(model, make_pairs(model, items))


def last(module: torch.nn.Module, seen: list[Tensor], into: Tensor | None = None):
    """Keep what a module returns; put another in its place where one is given."""

    def hook(module: object, args: object, output: Tensor) -> Tensor | None:
        seen.append(output.detach().clone())
        return into

    return module.register_forward_hook(hook)


def test_gates_are_every_head_and_mlp_layer_by_layer() -> None:
    names = gate_names(make_model("llama"))
    assert names[:6] == [
        *(f"blocks.0.attn.head.{h}" for h in range(4)),
        "blocks.0.mlp",
        "blocks.1.attn.head.0",
    ]
    assert names[-1] == "blocks.2.mlp" and len(names) == 15


@pytest.mark.parametrize("family", FAMILIES)
def test_all_open_is_the_clean_run_and_all_closed_predicts_as_the_corrupted(family: str) -> None:
    """The last token is the same in both prompts, so there only components differ."""
    mixed, n = mixer(make_model(family)), 15
    assert not torch.allclose(mixed.clean_logits, mixed.corrupted_logits, atol=1e-2)
    close = {"atol": 1e-3, "rtol": 1e-3}
    with torch.no_grad():
        torch.testing.assert_close(mixed.logits(torch.ones(n)), mixed.clean_logits, **close)
        torch.testing.assert_close(mixed.logits(torch.zeros(n)), mixed.corrupted_logits, **close)


@pytest.mark.parametrize(("gate", "share"), [(4, 0.25), (9, 0.0), (14, 0.5)])
def test_an_mlps_gate_moves_its_output_towards_the_corrupted_runs(gate: int, share: float) -> None:
    model = make_planted()
    mixed = mixer(model)
    module = model.blocks[gate // 5].mlp
    outputs: list[Tensor] = []
    for embeds in (mixed.pairs.clean, mixed.pairs.corrupted):
        handle = last(module, outputs)
        with torch.no_grad():
            model.hf(inputs_embeds=embeds, attention_mask=mixed.pairs.batch.mask,
                     position_ids=mixed.pairs.batch.position_ids)  # fmt: skip
        handle.remove()
    clean, corrupted = outputs
    handle = last(module, [], share * clean + (1 - share) * corrupted)
    with torch.no_grad():
        expected = model.hf(
            inputs_embeds=mixed.pairs.clean, attention_mask=mixed.pairs.batch.mask,
            position_ids=mixed.pairs.batch.position_ids,
        ).logits[:, -1]  # fmt: skip
    handle.remove()
    gates = torch.ones(20)
    gates[gate] = share
    with torch.no_grad():
        found = mixed.logits(gates)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, mixed.clean_logits, atol=1e-5)


def test_a_heads_gate_moves_its_own_entries_of_what_the_output_map_reads() -> None:
    model = make_model("llama")
    mixed, entries = mixer(model), slice(8, 16)
    module = model.blocks[2].self_attn.o_proj

    def patched(module: object, args: tuple[Tensor]) -> tuple[Tensor]:
        z = args[0].clone()
        z[..., entries] = 0.75 * z[..., entries] + 0.25 * mixed.z[2][..., entries]
        return (z,)

    handle = module.register_forward_pre_hook(patched)
    with torch.no_grad():
        expected = model.hf(
            inputs_embeds=mixed.pairs.clean, attention_mask=mixed.pairs.batch.mask,
            position_ids=mixed.pairs.batch.position_ids,
        ).logits[:, -1]  # fmt: skip
    handle.remove()
    gates = torch.ones(15)
    gates[11] = 0.75
    with torch.no_grad():
        found = mixed.logits(gates)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, mixed.clean_logits, atol=1e-5)


def test_divergence_is_from_the_clean_to_the_mixed_prediction() -> None:
    mixed = mixer(make_model("llama"))
    with torch.no_grad():
        clean = mixed.clean_logits.log_softmax(-1)
        other = mixed.logits(torch.full((15,), 0.5)).log_softmax(-1)
        found = mixed.divergence(torch.full((15,), 0.5))
        torch.testing.assert_close(
            mixed.divergence(torch.ones(15)), torch.zeros(2), atol=1e-5, rtol=0
        )
    expected = (clean.exp() * (clean - other)).sum(-1)
    assert (expected > 1e-3).all()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_gates_have_a_gradient_where_one_is_wanted() -> None:
    mixed = mixer(make_model("llama"))
    gates = torch.full((15,), 0.5, requires_grad=True)
    value = mixed.divergence(gates).sum()
    value.backward()
    assert gates.grad is not None
    step = 1e-2
    with torch.no_grad():
        for i in (1, 4, 14):
            more, less = (gates.detach().clone() for _ in range(2))
            more[i], less[i] = 0.5 + step, 0.5 - step
            rise = (mixed.divergence(more).sum() - mixed.divergence(less).sum()) / (2 * step)
            assert gates.grad[i].item() == pytest.approx(rise.item(), rel=0.05, abs=1e-4)
        assert not mixed.divergence(gates).requires_grad
