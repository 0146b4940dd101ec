"""Whatever enters a model at a layer goes on as in a whole run, in families of every form."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor

from tests.worker.core.models.families import FAMILIES, N_TOKENS, make_model, make_tokenizer
from worker.core.asking.states import all_states, logits_from
from worker.core.models.entering import block_form
from worker.core.models.model import Model

TUPLES = ("falcon", "falcon_new")
"""Families whose blocks answer with a tuple."""


def make(family: str) -> Model:
    """A family's model; of those with tuples one of more blocks than a state has dimensions."""
    if family not in TUPLES:
        return make_model(family)
    torch.manual_seed(0)
    config = hf.FalconConfig(
        vocab_size=N_TOKENS, hidden_size=32, num_hidden_layers=5, num_attention_heads=4,
        new_decoder_architecture=family == "falcon_new", num_kv_heads=2, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return Model(family, hf.AutoModelForCausalLM.from_config(config).float(), make_tokenizer())


def read(model: Model) -> tuple[Any, list[Tensor], Tensor]:
    """A batch, the residual at every depth, and the last position's logits."""
    ids = torch.tensor([[2, 3, 4, 5, 6]])
    mask = torch.ones_like(ids)
    batch: Any = SimpleNamespace(ids=ids, mask=mask, position_ids=mask.cumsum(-1) - 1)
    with torch.no_grad():
        logits = model.logits(batch.ids, batch.mask, batch.position_ids, keep=1)[:, -1]
    return batch, all_states(model, batch), logits


@pytest.mark.parametrize("family", [*FAMILIES, *TUPLES])
def test_states_put_in_at_any_depth_give_the_logits_of_a_whole_run(family: str) -> None:
    model = make(family)
    batch, states, expected = read(model)
    assert len(states) == model.n_layers + 1
    for depth, hidden in enumerate(states):
        found = logits_from(model, batch, hidden, depth)
        assert torch.allclose(found, expected, atol=1e-4), (family, depth)


@pytest.mark.parametrize("family", ["llama", *TUPLES])
def test_the_form_is_learnt_once_and_leaves_no_hook(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(family)
    form = block_form(model)
    assert (form > 0) == (family in TUPLES)
    assert not any(block._forward_hooks for block in model.blocks)
    monkeypatch.setattr(model, "logits", lambda *args, **kwargs: pytest.fail("it was learnt"))
    assert block_form(model) == form
