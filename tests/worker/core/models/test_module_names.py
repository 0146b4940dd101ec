"""The names that are written down are the adapters'; what is not written down is asked of them."""

import pytest
import transformers as hf

from tests.worker.core.models.families import make_model
from tests.worker.core.models.written_names import weightless
from worker.contract.errors import UserError
from worker.core.models import module_names
from worker.core.models.layout import read_layout


def test_what_is_written_down_is_what_the_adapters_say() -> None:
    """Written anew by `python -m tests.worker.core.models.written_names`."""
    models = weightless()
    assert {type(model).__name__ for model in models} == set(module_names._known())
    for model in models:
        assert module_names.module_names(model) == module_names.asked_of_adapter(model)


def test_a_family_that_is_not_written_down_is_asked_of_its_adapter() -> None:
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48}
    config = hf.OlmoConfig(**sizes, num_hidden_layers=2, num_attention_heads=4)
    model = hf.AutoModelForCausalLM.from_config(config)
    assert type(model).__name__ not in module_names._known()
    layout = read_layout(model)
    assert (layout.blocks, layout.q, layout.mlp) == ("model.layers", "self_attn.q_proj", "mlp")


def test_a_known_family_needs_no_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_names, "asked_of_adapter", lambda hf: pytest.fail("asked"))
    assert read_layout(make_model("gpt2").hf).qkv == "attn.c_attn"


class InventedForCausalLM(hf.LlamaForCausalLM):
    """An architecture of nobody's."""


def test_an_architecture_without_an_adapter_is_refused() -> None:
    model = InventedForCausalLM(make_model("llama").hf.config)
    with pytest.raises(UserError, match="knows no modules for the architecture 'InventedForCausal"):
        module_names.module_names(model)
