import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.errors import UserError
from worker.core.models import fused
from worker.core.models.base_run import run_base
from worker.core.models.components import component_parameters, component_slices
from worker.core.models.deltas import restored
from worker.core.models.tokens import encode, pad


def cut(model, name):
    parameters = dict(model.hf.named_parameters())
    return [
        (parameters[s.parameter], ... if s.index is None else s.index)
        for s in component_slices(model, name)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_of_the_slices(family):
    model = make_model(family)
    counts = component_parameters(model)
    assert len(counts) == model.n_layers * (2 + model.n_heads)
    for name in ("blocks.0.mlp", "blocks.2.attn", "blocks.1.attn.head.3"):
        assert counts[name] == sum(p[index].numel() for p, index in cut(model, name))


@pytest.mark.parametrize("family", ["gpt2", "neox", "phi3"])
def test_the_rows_of_a_head_are_found_also_where_no_gradients_are_wanted(family):
    model = make_model(family)
    looks_anew = fused.fused_head_rows.__wrapped__
    with torch.no_grad():
        found = looks_anew(model)
    assert found == looks_anew(model) == fused.fused_head_rows(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_changing_a_head_changes_its_output_and_its_groups_only(family):
    model = make_model(family)
    batch = pad(model, [encode(model, "Ann plays", None)])
    before = run_base(model, batch, sites=["z"]).sites["z"][0]
    group = model.n_heads // model.n_kv_heads
    with restored(model):
        with torch.no_grad():
            for parameter, index in cut(model, "blocks.0.attn.head.1"):
                parameter[index] += 0.5
        after = run_base(model, batch, sites=["z"]).sites["z"][0]
    changed = (after - before).unflatten(-1, (model.n_heads, -1)).abs().amax((0, 1, 3)) > 1e-6
    first = 1 // group * group
    expected = [first <= head < first + group for head in range(model.n_heads)]
    assert changed.tolist() == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_of_a_layer_cover_its_attention_but_for_the_output_bias(family):
    model = make_model(family)
    covered = {}
    for head in range(model.n_heads):
        for part in component_slices(model, f"blocks.1.attn.head.{head}"):
            parameter = dict(model.hf.named_parameters())[part.parameter]
            mask = covered.setdefault(part.parameter, torch.zeros(parameter.shape))
            mask[part.index] = 1
    assert all(bool(mask.all()) for mask in covered.values())
    whole = {s.parameter for s in component_slices(model, "blocks.1.attn")}
    missing = whole - set(covered)
    assert missing <= {f"{model.layout.blocks}.1.{model.layout.o}.bias"}


def test_components_that_the_model_lacks_are_refused():
    model = make_model("llama")
    for name in ("blocks.3.mlp", "blocks.0.attn.head.4", "blocks.0.norm"):
        with pytest.raises(UserError) as refused:
            component_slices(model, name)
        assert refused.value.problems[0][0] == "mask.components"
