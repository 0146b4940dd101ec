"""A base in 8 bits: its matrices are those of rounding to nearest, and its maps stay linear."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worker.core.models.families import save_families
from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import Inputs
from worker.contract.progress import Quiet
from worker.contract.result import Result
from worker.contract.spec import parse_spec
from worker.core.facts.reading import bundled_fact_sets
from worker.core.models.cache import ModelCache
from worker.core.models.components import component_parameters
from worker.core.models.describe import describe_model
from worker.core.models.int8 import round_to_int8
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.models.offloaded import bytes_by_device
from worker.core.models.quantize import quantized
from worker.run import run

IDS = torch.tensor([[0, 40, 50, 60, 70, 41], [0, 99, 98, 97, 96, 95]])
FAMILIES = ("llama", "gpt2", "gemma2", "phi3")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_families(root, FAMILIES)
    return root


def answer(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the slope of a score by the embeddings."""
    embeds = model.hf.get_input_embeddings()(IDS).detach().requires_grad_()
    logits = model.hf(inputs_embeds=embeds).logits
    return logits.detach(), torch.autograd.grad(logits.square().sum(), embeds)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_model_with_every_matrix_rounded_to_nearest(family: str, root: Path) -> None:
    plain, rounded = (
        load_model(family, roots=[root]),
        load_model(family, roots=[root], load_in="8bit"),
    )
    with quantized(plain, "8"):
        expected = answer(plain)
    for one, other in zip(expected, answer(rounded), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(answer(plain)[0], expected[0]), "rounding does something"
    assert rounded.weights_hash == plain.weights_hash, "of the stored weights"
    assert rounded.dtype == torch.float32
    assert component_parameters(rounded) == component_parameters(plain), "of masks made on it"


@pytest.mark.parametrize("family", FAMILIES)
def test_its_memory_is_said_before_it_is_loaded(family: str, root: Path) -> None:
    info = describe_model(family, root / family)
    rounded = load_model(family, roots=[root], load_in="8bit")
    assert bytes_by_device(rounded.hf) == {"cpu": info.memory_bytes_8bit["load"]}
    assert info.memory_bytes_8bit["load"] < info.memory_bytes["load"]


def test_integers_by_hand() -> None:
    whole, scale = round_to_int8(torch.tensor([[1.0, -0.5, 0.251], [0.0, 0.0, 0.0]]))
    assert whole.tolist() == [[127, -64, 32], [0, 0, 0]]
    assert scale[0].item() == pytest.approx(1 / 127)
    assert whole.dtype == torch.int8 and bool(scale.isfinite().all())


def test_both_forms_of_a_base_are_held_and_verified_apart(root: Path) -> None:
    models = ModelCache(roots=[root])
    plain, rounded = models.get("llama"), models.get("llama", load_in="8bit")
    assert models.get("llama") is plain and models.get("llama", load_in="8bit") is rounded
    with torch.no_grad():
        rounded.blocks[0].get_submodule(rounded.layout.o).weight_scale[0] *= 2
    assert not models.verify("llama", "8bit") and models.held == ("llama",)


def test_too_large_in_8_bits_is_refused_beside_the_option(root: Path) -> None:
    with pytest.raises(UserError, match="also in 8 bits") as refused:
        ModelCache(roots=[root], bounds={"cpu": 10_000}).get("llama", load_in="8bit")
    assert refused.value.problems[0][0] == "load_in"


@pytest.mark.parametrize("kind", ["unlearn", "evaluate", "explore", "export", "study"])
def test_only_a_localization_may_ask_for_it(kind: str) -> None:
    facts = {"set": "a", "forget": "first:1"}
    mask = {"components": ["blocks.0.mlp"]}
    parts = {
        "unlearn": {"facts": facts, "mask": mask},
        "evaluate": {"facts": facts},
        "explore": {"view": "logit_lens"},
        "export": {"model": {"base": "demo", "edits": ["a"]}},
        "study": {
            "facts": facts,
            "masks": {"one": {"title": "One", "components": ["blocks.0.mlp"]}},
            "methods": {"one": {"title": "One", "method": "localized_finetuning"}},
        },
    }
    parse_spec({"kind": kind, **parts[kind]})
    with pytest.raises(UserError, match="only a localization") as refused:
        parse_spec({"kind": kind, "load_in": "8bit", **parts[kind]})
    assert refused.value.problems[0][0] == "load_in"


def localize(method: str, load_in: str | None, out: Path, models: ModelCache) -> Result:
    facts = next(s for s in bundled_fact_sets() if "athlete" in s.name or "sport" in s.name)
    spec = {
        "kind": "localize",
        "facts": {"set": facts.name, "forget": "first:3"},
        "method": method,
        "options": {"samples": 2} if method == "causal_tracing" else {},
        "load_in": load_in,
    }
    assert isinstance(facts, FactSet)
    return run(parse_spec(spec), Inputs(out=str(out), fact_set=facts), Quiet(), models)


@pytest.mark.parametrize("method", ["causal_tracing", "attribution_patching"])
def test_on_the_bundled_model_scores_rank_components_as_float32_does(
    method: str, tmp_path: Path
) -> None:
    models = ModelCache()
    stored = localize(method, None, tmp_path / "stored", models)
    rounded = localize(method, "8bit", tmp_path / "rounded", models)
    assert rounded.provenance.load_in == "8bit" and stored.provenance.load_in is None
    assert rounded.provenance.weights_hash == stored.provenance.weights_hash
    scores = [
        np.load(tmp_path / name / "arrays.npz")["components"] for name in ("stored", "rounded")
    ]
    ranks = [np.argsort(np.argsort(one)) for one in scores]
    assert np.corrcoef(*ranks)[0, 1] > 0.97
    assert not np.allclose(*scores)
