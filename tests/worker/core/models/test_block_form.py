"""What stands in for blocks answers in their form: states put in go on as in a whole run."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.core.asking.states import logits_from
from worker.core.models import block_form
from worker.core.models.block_form import as_block, learn_block_form
from worker.core.models.model import Model


def read(model: Model) -> tuple[Any, list[torch.Tensor], torch.Tensor]:
    """A batch, what enters every block and leaves the last, and the last position's logits."""
    seen: list[torch.Tensor] = []

    def note(block, args, kwargs):
        seen.append(args[0] if args else kwargs["hidden_states"])

    def left(block, args, output):
        seen.append(output[0] if isinstance(output, tuple) else output)

    ids = torch.tensor([[2, 3, 4, 5, 6]])
    mask = torch.ones_like(ids)
    batch = SimpleNamespace(ids=ids, mask=mask, position_ids=mask.cumsum(-1) - 1)
    hooks = [b.register_forward_pre_hook(note, with_kwargs=True) for b in model.blocks]
    hooks.append(model.blocks[-1].register_forward_hook(left))
    with torch.no_grad():
        logits = model.logits(batch.ids, batch.mask, batch.position_ids, keep=1)[:, -1]
    for hook in hooks:
        hook.remove()
    return batch, seen, logits


@pytest.mark.parametrize("family", FAMILIES)
def test_states_put_in_at_any_depth_give_the_logits_of_a_whole_run(family: str) -> None:
    model = make_model(family)
    batch, states, expected = read(model)
    for depth, hidden in enumerate(states):
        found = logits_from(model, batch, hidden, depth)
        assert torch.allclose(found, expected, atol=1e-4), (family, depth)


def test_the_form_is_learnt_once_and_leaves_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("llama")
    n = learn_block_form(model)
    assert not any(block._forward_hooks for block in model.blocks)
    monkeypatch.setattr(block_form, "_look", lambda model: pytest.fail("it was learnt already"))
    hidden = torch.zeros(1, 2, 3)
    made = as_block(model, hidden)
    assert (made is hidden) if n == 0 else (made[0] is hidden and len(made) == n)
