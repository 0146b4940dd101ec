import json

import pytest
import torch

from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.core.models.cache import ModelCache
from worker.core.models.describe import list_models
from worker.core.models.load import load_model


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, family in (("small", "llama"), ("models--org--fused/snapshots/abc", "phi3")):
        model = make_model(family)
        model.hf.save_pretrained(root / name)
        model.tokenizer.save_pretrained(root / name)
    pickled = root / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "llama"}')
    (pickled / "pytorch_model.bin").write_bytes(b"not read")
    strange = root / "strange"
    strange.mkdir()
    config = {"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "code.Model"}}
    (strange / "config.json").write_text(json.dumps(config))
    (strange / "model.safetensors").write_bytes(b"")
    return root


def test_a_model_is_loaded_by_its_name_under_a_root_or_by_its_path(root):
    by_name = load_model("small", roots=[root])
    by_path = load_model(str(root / "small"), roots=[root])
    assert by_name.id == by_path.id == "small"
    assert by_name.weights_hash == by_path.weights_hash == make_model("llama").weights_hash
    assert (by_name.n_layers, by_name.n_heads, by_name.n_kv_heads, by_name.d_head) == (3, 4, 2, 8)
    assert by_name.dtype == torch.float32 and not by_name.hf.training


def test_a_hub_cache_under_a_root_gives_its_models_their_hub_names(root):
    model = load_model("org/fused", roots=[root])
    assert model.id == "org/fused" and model.revision == "abc"


def test_models_are_listed_without_loading_and_say_why_they_cannot_be_loaded(root):
    listed = {info.id: info for info in list_models([root])}
    assert {"small", "org/fused", "pickled", "strange"} <= set(listed)
    small = listed["small"]
    assert small.architecture == "LlamaForCausalLM" and not small.problem
    assert small.component_parameters["blocks.0.mlp"] == 3 * 32 * 48
    assert small.n_parameters == sum(p.numel() for p in make_model("llama").hf.parameters())
    assert "safetensors" in listed["pickled"].problem
    assert "runs no code" in listed["strange"].problem


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smal", "Did you mean 'small'"),
        ("pickled", "save_pretrained"),
        ("strange", "runs no code"),
        ("../outside", "No model"),
        ("/etc", "under none of the model roots"),
    ],
)
def test_a_model_that_must_not_be_loaded_is_refused_in_words(root, name, words):
    with pytest.raises(UserError, match=words) as refused:
        load_model(name, roots=[root])
    assert refused.value.problems[0][0] == "model"


def test_a_link_out_of_the_root_is_no_way_around_it(root, tmp_path):
    make_model("gpt2").hf.save_pretrained(tmp_path / "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="under none of the model roots"):
        load_model(str(root / "link"), roots=[root])
    (root / "link").unlink()


def test_the_cache_keeps_the_models_used_last_within_its_bound(root):
    cache = ModelCache(roots=[root], max_bytes=10)
    first = cache.get("small")
    assert cache.get("small") is first
    cache.get("org/fused")
    assert cache.held == ("org/fused",)
    roomy = ModelCache(roots=[root])
    roomy.get("small"), roomy.get("org/fused")
    assert roomy.held == ("small", "org/fused")


def test_a_held_model_whose_weights_changed_is_dropped_and_loaded_anew(root):
    cache = ModelCache(roots=[root])
    model = cache.get("small")
    assert cache.verify("small")
    with torch.no_grad():
        next(model.hf.parameters())[0, 0] += 1
    assert not cache.verify("small") and cache.held == ()
    assert cache.get("small").weights_hash == make_model("llama").weights_hash
