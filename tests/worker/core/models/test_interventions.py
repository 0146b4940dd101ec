"""Activations are changed in whatever runs the model, and the model is left as it was."""

from collections.abc import Callable

import pytest
import torch

from tests.worker.core.models.families import make_model
from worker.contract.interventions import Intervention
from worker.core.models.base_run import run_base
from worker.core.models.interventions import Change, intervened
from worker.core.models.model import Model
from worker.core.models.sites import module_at
from worker.core.models.tokens import pad

ZERO = Change(Intervention(kind="zero", site="mlp", layer=0))
HEAD = Change(Intervention(kind="zero", site="head", layer=1, head=0))
IDS = [5, 6, 7, 8]


def by_run(model: Model) -> torch.Tensor:
    batch = pad(model, [IDS, IDS[:2]])
    return model.logits(batch.ids, batch.mask, batch.position_ids)[0, -1]


def by_base(model: Model) -> torch.Tensor:
    return run_base(model, pad(model, [IDS[:3], IDS])).logits[1]


def by_generation(model: Model) -> torch.Tensor:
    out = model.hf.generate(
        torch.tensor([IDS]), max_new_tokens=1, do_sample=False, output_logits=True,
        return_dict_in_generate=True, pad_token_id=0,
    )  # fmt: skip
    return out.logits[0][0]


@pytest.mark.parametrize("ask", [by_run, by_base, by_generation])
@torch.no_grad()
def test_every_way_of_running_is_changed_alike(ask: Callable[[Model], torch.Tensor]) -> None:
    model = make_model("llama")
    before = ask(model)
    mlp = module_at(model, "mlp", 0)
    hook = mlp.register_forward_hook(lambda *args: torch.zeros_like(args[2]))
    wanted = ask(model)
    hook.remove()
    with intervened(model, [ZERO]):
        torch.testing.assert_close(ask(model), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(ask(model), before, atol=0, rtol=0)
    assert float((wanted - before).abs().max()) > 1e-3


def test_a_failure_inside_leaves_no_change_behind() -> None:
    model = make_model("gpt2")
    state, before = model.state_hash, by_run(model)
    with pytest.raises(ZeroDivisionError), intervened(model, [ZERO, HEAD]):
        assert model.state_hash != state
        raise ZeroDivisionError
    assert model.state_hash == state and not model.intervened
    assert torch.equal(by_run(model), before)
    assert not any(m._forward_pre_hooks for m in model.hf.modules())
    assert not any("forward" in vars(m) for m in (model.hf, *model.blocks))


@torch.no_grad()
def test_a_projection_that_is_called_by_itself_computes_what_it_always_does() -> None:
    model = make_model("llama")
    o = module_at(model, "z", 1)
    z = torch.randn(1, model.n_heads * model.d_head)
    before = o(z)
    with intervened(model, [HEAD]):
        assert torch.equal(o(z), before)


def test_a_token_is_counted_from_each_prompts_first_whatever_the_padding() -> None:
    model = make_model("neox")
    batch = pad(model, [IDS, IDS[:2]])
    first = Change(Intervention(kind="scale", site="resid", layer=0, token=0, factor=3))
    with intervened(model, [first]):
        together = run_base(model, batch).resid[1]
        alone = run_base(model, pad(model, [IDS[:2]])).resid[1]
    plain = run_base(model, pad(model, [IDS[:2]])).resid[1]
    torch.testing.assert_close(together[1, 2:], alone[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone[0, 0], 3 * plain[0, 0])
    torch.testing.assert_close(alone[0, 1], plain[0, 1])
