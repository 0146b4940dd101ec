"""Models with blocks on disk or in the CPU's memory answer as whole ones do, through real hooks."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.hooks import AlignDevicesHook
from transformers import AutoModelForCausalLM

from tests.worker.core.models.families import make_model, save_families
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskPreflight, Inputs
from worker.contract.mask import Mask
from worker.contract.menu import Placement, Preflight
from worker.contract.progress import Event, Quiet
from worker.contract.result import Result
from worker.contract.spec import parse_spec
from worker.core.export import export_folder
from worker.core.models.cache import ModelCache
from worker.core.models.deltas import edited
from worker.core.models.describe import describe_model
from worker.core.models.dispatch import map_devices, spread
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.models.offloaded import align_hook, bytes_by_device
from worker.core.models.placement import block_bytes, placement_of
from worker.core.rounding import rounding_at
from worker.run import answer, run

FAMILIES = ("llama", "gpt2", "gemma2")
FACTS = FactSet(
    name="games",
    facts=(
        Fact(id="a", subject="Ann Lee", prompt="{} plays", target="golf", edit_target="chess"),
        Fact(id="b", subject="Bob", prompt="Once {} likes", target="ball", edit_target="go"),
    ),
)
IDS = torch.tensor([[0, 40, 50, 60, 70, 41], [0, 99, 98, 97, 96, 95]])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_families(root, FAMILIES)
    return root


@pytest.fixture(scope="module")
def whole(root: Path) -> ModelCache:
    return ModelCache(roots=[root])


def small_cache(root: Path, family: str) -> ModelCache:
    """A cache with memory for what is outside the blocks, one block, and room for another."""
    model = make_model(family)
    blocks = block_bytes(model, torch.float32)
    total = 4 * sum(p.numel() for p in model.hf.parameters())
    return ModelCache(roots=[root], bounds={"cpu": total - sum(blocks) + int(2.5 * blocks[0])})


@pytest.fixture(scope="module")
def placed(root: Path) -> dict[str, ModelCache]:
    return {family: small_cache(root, family) for family in FAMILIES}


def logits(model: Model) -> torch.Tensor:
    with torch.no_grad():
        mask = torch.ones_like(IDS)
        return model.logits(IDS, mask, mask.cumsum(-1) - 1, keep=3)


def slope(model: Model) -> torch.Tensor:
    embeds = model.hf.get_input_embeddings()(IDS).detach().requires_grad_()
    score = model.hf(inputs_embeds=embeds).logits[:, -1].square().sum()
    return torch.autograd.grad(score, embeds)[0]


def compute(
    family: str, models: ModelCache, out: Path, **given: object
) -> tuple[Result, dict[str, np.ndarray], list[str]]:
    inputs = {k: given.pop(k) for k in ("mask", "deltas") if k in given}
    spec = {
        "model": family,
        "facts": {"set": "games", "forget": "first:2", "known": {"probability": 0}},
        **given,
    }
    told: list[Event] = []
    report = Quiet(told.append)
    result = run(parse_spec(spec), Inputs(out=str(out), fact_set=FACTS, **inputs), report, models)
    arrays = dict(np.load(out / "arrays.npz")) if (out / "arrays.npz").exists() else {}
    return result, arrays, [event.message for event in told if event.type == "log"]


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_gradients_and_hash_are_those_of_the_whole_model(
    family: str, whole: ModelCache, placed: dict[str, ModelCache]
) -> None:
    one, other = whole.get(family), placed[family].get(family)
    found = placement_of(other.hf)
    assert placement_of(one.hf) is None and align_hook(one.blocks[0]) is None, "no hook at all"
    assert found is not None and found.blocks == ("cpu", "disk", "disk")
    assert sum(p.is_meta for p in other.blocks[2].parameters()) > 0
    assert (other.device, other.dtype) == (one.device, one.dtype)
    assert torch.equal(logits(one), logits(other))
    assert torch.equal(slope(one), slope(other))
    assert one.weights_hash == other.weights_hash == make_model(family).weights_hash
    assert placed[family].verify(family) and placed[family].held == (family,)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_in_memory_that_another_device_computes_with_give_the_same(
    family: str, root: Path, whole: ModelCache
) -> None:
    # accelerate offloads from a device that is not called "cpu"; torch's own object is not.
    main = torch.device("cpu")
    model = load_model(family, roots=[root])
    placement = Placement(main="cpu", blocks=("here", "cpu", "cpu"))
    device_map = map_devices(model.hf, placement)
    away = {k: "cpu" if k.endswith((".1", ".2")) else main for k in device_map}
    spread(model.hf, away, main)
    assert all(p.is_meta for p in model.blocks[1].parameters())
    assert isinstance(align_hook(model.blocks[1].get_submodule(model.layout.o)), AlignDevicesHook)
    assert torch.equal(logits(whole.get(family)), logits(model))
    assert torch.equal(slope(whole.get(family)), slope(model))
    assert model.weights_hash == whole.get(family).weights_hash
    assert bytes_by_device(model.hf) == bytes_by_device(whole.get(family).hf)


def test_a_graph_holds_no_matrix_that_was_brought_in_but_where_it_can_be_had(
    placed: dict[str, ModelCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = placed["llama"].get("llama")
    loader = align_hook(model.blocks[1].get_submodule(model.layout.o)).weights_map.dataset
    read, brought = type(loader).__getitem__, []

    def noted(self: object, key: str) -> torch.Tensor:
        brought.append(key)
        return read(self, key)

    monkeypatch.setattr(type(loader), "__getitem__", noted)
    embeds = model.hf.get_input_embeddings()(IDS).detach().requires_grad_()
    score = model.hf(inputs_embeds=embeds).logits.sum()
    brought.clear()
    score.backward()
    away = {n for n, p in model.hf.named_parameters() if p.is_meta and p.ndim == 2}
    assert len(away) == 2 * 7 and away <= set(brought), "each was read once more"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["causal_tracing", "attribution_patching"])
def test_a_localization_gives_the_same_scores(
    family: str,
    method: str,
    whole: ModelCache,
    placed: dict[str, ModelCache],
    tmp_path: Path,
) -> None:
    spec = {
        "kind": "localize",
        "method": method,
        "options": {"min_probability": 0.0, "keep_raised": True},
    }
    one, expected, _ = compute(family, whole, tmp_path / "whole", **spec)
    other, found, told = compute(family, placed[family], tmp_path / "placed", **spec)
    assert expected and expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6, err_msg=name)
    assert one.provenance.placement == {}
    assert other.provenance.placement == {"cpu": 1, "disk": 2}
    assert other.provenance.weights_hash == one.provenance.weights_hash
    assert any("2 on disk (offload)" in line for line in told), "said in the run's log"


@pytest.mark.parametrize(
    "method", ["direct_logit_attribution", "path_patching", "eap", "activation_patching"]
)
def test_methods_that_read_projections_give_the_same_too(
    method: str, whole: ModelCache, placed: dict[str, ModelCache], tmp_path: Path
) -> None:
    kept = {} if method == "direct_logit_attribution" else {"keep_raised": True}
    spec = {"kind": "localize", "method": method, "options": {"min_probability": 0.0} | kept}
    _, expected, _ = compute("gemma2", whole, tmp_path / "whole", **spec)
    _, found, _ = compute("gemma2", placed["gemma2"], tmp_path / "placed", **spec)
    assert expected and expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6, err_msg=name)


def train(
    family: str, models: ModelCache, out: Path, components: tuple[str, ...]
) -> tuple[Result, Path]:
    spec = {
        "kind": "unlearn",
        "model": family,
        "facts": {"set": "games", "forget": "first:1", "known": {"probability": 0}},
        "mask": {"components": list(components)},
        "options": {"steps": 2, "learning_rate": 0.01},
    }
    mask = Mask(components=components)
    inputs = Inputs(out=str(out), fact_set=FACTS, mask=mask)
    return run(parse_spec(spec), inputs, Quiet(), models), out / "delta.safetensors"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_through_blocks_that_the_device_holds_equals_the_whole_models(
    family: str, whole: ModelCache, placed: dict[str, ModelCache], tmp_path: Path
) -> None:
    one, _ = train(family, whole, tmp_path / "whole", ("blocks.0.mlp",))
    other, delta = train(family, placed[family], tmp_path / "placed", ("blocks.0.mlp",))
    assert one.receipt is not None and other.receipt is not None
    assert other.receipt.hash_after == one.receipt.hash_after
    assert other.receipt.outside_unchanged and other.receipt.base_restored
    assert other.receipt.n_outside_checked == one.receipt.n_outside_checked
    with edited(whole.get(family), [delta]):
        assert not torch.allclose(logits(whole.get(family)), logits(placed[family].get(family)))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_of_blocks_on_disk_is_put_on_and_taken_off_bit_for_bit(
    family: str, whole: ModelCache, placed: dict[str, ModelCache], tmp_path: Path
) -> None:
    components = ("blocks.0.attn", "blocks.1.mlp", "blocks.2.attn.head.1")
    result, delta = train(family, whole, tmp_path / "whole", components)
    one, other = whole.get(family), placed[family].get(family)
    before = logits(other)
    with edited(one, [delta]):
        expected = logits(one)
        weights = {name: p.detach().clone() for name, p in one.hf.named_parameters()}
    assert not torch.allclose(expected, before)
    with edited(other, [delta]):
        assert torch.equal(logits(other), expected)
        assert result.receipt is not None
    assert torch.equal(logits(other), before)
    assert placed[family].verify(family) and bytes_by_device(other.hf)["disk"] > 0
    export_folder(other, [delta], tmp_path / "folder")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "folder").eval()
    found = dict(again.named_parameters())
    assert found.keys() == weights.keys(), "and it leaves as a whole model"
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    with torch.no_grad():
        # All positions are unembedded here and three there: another shape, another kernel.
        every = again(IDS).logits[:, -3:]
    bound = rounding_at(float(expected.abs().max()), expected.dtype)
    torch.testing.assert_close(every, expected, atol=bound, rtol=0)


def test_training_weights_that_are_elsewhere_is_refused_beside_the_mask(
    placed: dict[str, ModelCache], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="layers that are not on cpu") as refused:
        train("llama", placed["llama"], tmp_path, ("blocks.0.mlp", "blocks.2.mlp"))
    assert refused.value.problems[0][0] == "mask"
    assert "layers 0 to 0" in refused.value.message
    model = placed["llama"].get("llama")
    with pytest.raises(UserError, match="can be trained or rounded"):
        from worker.core.models.quantize import quantized

        with quantized(model, "8"):
            pass
    assert placed["llama"].verify("llama")


@pytest.mark.parametrize("name", ["quantization", "relearning"])
def test_an_evaluation_that_rewrites_every_block_is_refused_beside_its_name(
    name: str, placed: dict[str, ModelCache], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=name) as refused:
        compute("llama", placed["llama"], tmp_path, kind="evaluate", evaluations=["probes", name])
    assert refused.value.problems[0][0] == "evaluations"


def test_an_evaluation_of_an_edit_gives_the_same_numbers(
    whole: ModelCache, placed: dict[str, ModelCache], tmp_path: Path
) -> None:
    _, delta = train("llama", whole, tmp_path / "edit", ("blocks.2.mlp",))
    model = {"base": "llama", "edits": ["edit"]}
    spec = {"kind": "evaluate", "evaluations": ["probes"], "model": model}
    given = {"deltas": (str(delta),)}
    one, _, _ = compute("llama", whole, tmp_path / "whole", **spec, **given)
    other, _, _ = compute("llama", placed["llama"], tmp_path / "placed", **spec, **given)
    assert one.summary and other.summary == pytest.approx(one.summary)


def test_the_preflight_says_where_the_blocks_are_and_what_the_device_needs(
    whole: ModelCache, placed: dict[str, ModelCache]
) -> None:
    spec = parse_spec(
        {
            "kind": "localize",
            "model": "llama",
            "facts": {"set": "games", "forget": "first:2", "known": {"probability": 0}},
            "method": "attribution_patching",
            "options": {"min_probability": 0.0, "keep_raised": True},
        }
    )
    asked = AskPreflight(spec=spec, inputs=Inputs(out="", fact_set=FACTS))
    said, plain = answer(asked, placed["llama"]), answer(asked, whole)
    assert isinstance(said, Preflight) and isinstance(plain, Preflight)
    assert said.placement is not None and said.placement.counts == {"cpu": 1, "disk": 2}
    assert any("2 on disk (offload)" in note for note in said.notes)
    assert plain.placement is None and not any("offload" in note for note in plain.notes)
    assert said.memory_bytes is not None and plain.memory_bytes is not None
    block = block_bytes(make_model("llama"), torch.float32)[0]
    assert plain.memory_bytes - said.memory_bytes == block, "two away, and room for one"


def test_a_description_says_where_the_blocks_would_be(root: Path) -> None:
    room = small_cache(root, "llama").measure_room()
    spread, plain = (
        describe_model("llama", root / "llama", room=given) for given in (room, {"cpu": 10**9})
    )
    assert plain.placement is None
    assert spread.placement is not None and spread.placement.counts == {"cpu": 1, "disk": 2}
    assert spread.memory_bytes["load"] < plain.memory_bytes["load"]
    tiny = describe_model("llama", root / "llama", room={"cpu": 1000})
    assert tiny.placement is None and tiny.memory_bytes == plain.memory_bytes


def test_dropping_a_placed_model_takes_its_folder_and_it_is_held_alone(root: Path) -> None:
    models = small_cache(root, "llama")
    model = models.get("llama")
    folder = model.hf.offload_folder
    assert not folder.exists(), "nothing was written, so a killed process leaves nothing"
    folder.mkdir()
    (folder / "converted.safetensors").write_bytes(b"a weight that was converted")
    n_bytes = bytes_by_device(model.hf)
    assert models.size == n_bytes["cpu"] and n_bytes["disk"] > 0, "the disk is no memory"
    assert models.placements["llama"] == placement_of(model.hf)
    del model
    models.get("gemma2")
    assert models.held == ("gemma2",)
    gc.collect()
    assert not folder.exists()


def test_a_loading_that_is_cancelled_leaves_no_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def stop(words: str) -> None:
        if "tensors" in words:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_cache(root, "llama").get("llama", stop)
    assert list(tmp_path.iterdir()) == []
