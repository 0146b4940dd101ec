"""Stored weights: their hash in every dtype, and that they are numbers."""

import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.errors import NotFinite, UserError
from worker.core.models import model as models
from worker.core.models import stored_values
from worker.core.models.cache import ModelCache
from worker.core.models.delta_files import read_delta, save_delta
from worker.core.models.deltas import edited, restored, state_checksum
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.models.stored_values import read_values

NAME = "model.layers.1.mlp.up_proj.weight"


def save(root: Path, family: str = "llama", dtype: torch.dtype = torch.float32) -> Path:
    """Save a family's model in a dtype, as a folder that has lain there for long."""
    made = make_model.__wrapped__(family)
    made.hf.to(dtype).save_pretrained(root / family)
    made.tokenizer.save_pretrained(root / family)
    return settle(root / family)


def settle(folder: Path, at: float = 1e9) -> Path:
    for path in folder.iterdir():
        os.utime(path, (at, at))
    return folder


def spoil(folder: Path, name: str, place: tuple[int, ...], value: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[name][place] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        (NAME, (3, 5), math.nan, r"up_proj\.weight \(blocks\.1\.mlp\) has 1 NaN .*\[3, 5\]"),
        (
            "model.layers.0.self_attn.q_proj.weight",
            (0, 0),
            math.inf,
            r"\(blocks\.0\.attn\) has 1 i",
        ),
        ("model.embed_tokens.weight", (17,), math.nan, r"embed_tokens\.weight has 32 NaN"),
        ("model.norm.weight", (2,), -math.inf, r"model\.norm\.weight has 1 infinite"),
    ],
)
@pytest.mark.parametrize("load_in", [None, "8bit"])
def test_weights_that_are_no_numbers_refuse_the_model_by_the_tensor(
    tmp_path: Path, name: str, place: tuple[int, ...], value: float, said: str, load_in: str | None
) -> None:
    spoil(save(tmp_path), name, place, value)
    for _ in range(2):  # what was found is kept with the checksums
        with pytest.raises(NotFinite, match=said) as refused:
            load_model("llama", roots=[tmp_path], load_in=load_in)
        assert refused.value.problems[0][0] == "model"
        settle(tmp_path / "llama")


def test_numbers_too_large_for_the_dtype_are_told_with_the_cure(tmp_path: Path) -> None:
    spoil(save(tmp_path), NAME, (0, 0), 1e38)
    assert load_model("llama", roots=[tmp_path]).dtype == torch.float32
    assert load_model("llama", roots=[tmp_path], dtype="bfloat16").dtype == torch.bfloat16
    with pytest.raises(NotFinite, match=r"float16, whose largest number is 65,504.*float32"):
        load_model("llama", roots=[tmp_path], dtype="float16")
    spoil(tmp_path / "llama", NAME, (0, 0), 3.4e38)  # beyond bfloat16's largest, 3.39e38
    with pytest.raises(NotFinite, match=r"bfloat16, whose largest number is 3\.38953e\+38"):
        load_model("llama", roots=[tmp_path], dtype="bfloat16")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_the_hash_is_of_the_stored_weights_in_whatever_dtype_they_are_loaded(
    family: str, stored: torch.dtype, tmp_path: Path
) -> None:
    save(tmp_path, family, stored)
    hashes = {
        load_model(family, roots=[tmp_path], dtype=dtype).weights_hash
        for dtype in ("float32", "bfloat16", "float16")
    }
    assert hashes == {read_values(tmp_path / family).hash}


def test_a_load_hashes_what_it_reads_once_and_a_second_load_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []

    def counted(tensor: torch.Tensor) -> str:
        hashed.append(tensor.nbytes)
        return digest(tensor)

    digest = stored_values.digest
    monkeypatch.setattr(stored_values, "digest", counted)
    monkeypatch.setattr("worker.core.models.hashed.digest", counted)
    n_bytes = (save(tmp_path) / "model.safetensors").stat().st_size
    for expected in (n_bytes, 0):
        hashed.clear()
        model = load_model("llama", roots=[tmp_path])
        assert set(model.digests) == {name for name, _ in model.hf.named_parameters()}
        assert 0 <= expected - sum(hashed) < 20_000, "the header is not hashed"
    assert {name: digest(p) for name, p in model.hf.named_parameters()} == model.digests


def test_files_that_change_are_read_again_also_within_one_second(tmp_path: Path) -> None:
    folder = save(tmp_path)
    first = read_values(folder).hash
    spoil(folder, NAME, (0, 0), 1.0)
    second = read_values(folder).hash
    spoil(folder, NAME, (0, 0), 2.0)
    settle(folder)  # the same size, and the first one's time
    assert len({first, second, read_values(folder).hash}) == 3
    assert models.unchanged_names(folder, load_model("llama", roots=[tmp_path]).hf)


def test_one_cache_holds_a_model_in_several_dtypes_and_no_dtype_twice(tmp_path: Path) -> None:
    save(tmp_path)
    cache = ModelCache(roots=[tmp_path])
    one = cache.get("llama")
    assert cache.get("llama", dtype="float32") is one, "what auto is on a CPU"
    half = cache.get("llama", dtype="bfloat16")
    assert half.dtype == torch.bfloat16 and cache.held == ("llama", "llama in bfloat16")
    assert cache.verify("llama", dtype="bfloat16") and cache.verify("llama")
    with torch.no_grad():
        half.hf.model.norm.weight[0] += 1
    assert not cache.verify("llama", dtype="bfloat16") and cache.held == ("llama",)


def make_edit(model: Model, path: Path, name: str = NAME) -> str:
    """Add 1/2 to a matrix, as an edit on what lies on the model."""
    before = model.state_hash
    with restored(model, [name]):
        parameter = dict(model.hf.named_parameters())[name]
        with torch.no_grad():
            parameter += 0.5
        after = state_checksum(model, {*model.changed, name})
        save_delta(path, {name: parameter}, model=model, before_hash=before, after_hash=after)
    return after


def test_an_edit_crosses_dtypes_where_its_numbers_can_be_written(tmp_path: Path) -> None:
    save(tmp_path, dtype=torch.bfloat16)
    full, half = (
        load_model("llama", roots=[tmp_path], dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    after = make_edit(half, tmp_path / "half.safetensors")
    assert read_delta(tmp_path / "half.safetensors").dtype == torch.bfloat16
    for model in (half, full):
        with edited(model, [tmp_path / "half.safetensors"]):
            assert model.state_hash == after == state_checksum(model, [NAME])
        assert model.state_hash == model.weights_hash
    make_edit(full, tmp_path / "full.safetensors")
    said = r"made in float32, and 'llama' is loaded in bfloat16, which cannot write .* float32\."
    with (
        pytest.raises(UserError, match=said),
        edited(half, [tmp_path / "full.safetensors"]),
    ):
        pass
    assert not half.changed and half.state_hash == half.weights_hash


def test_edits_of_two_dtypes_stack(tmp_path: Path) -> None:
    save(tmp_path, dtype=torch.bfloat16)
    full, half = (
        load_model("llama", roots=[tmp_path], dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    make_edit(half, one)
    with edited(full, [one]):
        after = make_edit(full, two, "model.layers.0.mlp.up_proj.weight")
    with edited(full, [one, two]):
        assert full.state_hash == after
    with pytest.raises(UserError, match="made on top of other edits"), edited(full, [two]):
        pass


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_edits_of_the_first_format_are_put_on_as_ever(
    stored: torch.dtype, dtype: torch.dtype, tmp_path: Path
) -> None:
    """Their hashes are over the parameters as loaded: the same number in another dtype differs."""
    from safetensors.torch import save_file

    from worker.core.models.deltas import checksum

    save(tmp_path, dtype=stored)
    model = load_model("llama", roots=[tmp_path], dtype=dtype)
    paths, below = [], checksum(model)
    base, before = below, below
    for number in range(2):
        with edited(model, paths):
            parameter = dict(model.hf.named_parameters())[NAME]
            value = parameter.detach() + 0.5
            with restored(model, [NAME]):
                with torch.no_grad():
                    parameter.copy_(value)
                after = checksum(model)
        path = tmp_path / f"{number}.safetensors"
        metadata = {
            "format": "lethe-delta-1", "model": "llama", "base_hash": base,
            "before_hash": before, "after_hash": after,
        }  # fmt: skip
        save_file({NAME: value}, path, metadata=metadata)
        paths.append(path)
        before = after
    with edited(model, paths):
        assert torch.equal(dict(model.hf.named_parameters())[NAME], value)
    with pytest.raises(UserError, match="on top of other edits"), edited(model, paths[1:]):
        pass
    if dtype == torch.bfloat16 and stored == torch.bfloat16:
        with edited(load_model("llama", roots=[tmp_path], dtype="float32"), paths):
            pass


def test_a_delta_whose_values_were_changed_is_refused_as_damaged(tmp_path: Path) -> None:
    save(tmp_path)
    model = load_model("llama", roots=[tmp_path])
    path = tmp_path / "one.safetensors"
    make_edit(model, path)
    kept = read_delta(path)
    for value, said in ((1.0, "is damaged"), (math.nan, r"cannot be put on: its .* has 1 NaN")):
        kept.values[NAME][0, 0] = value
        metadata = {
            "format": kept.format, "model": kept.model, "dtype": "float32",
            "base_hash": kept.base_hash, "before_hash": kept.before_hash,
            "after_hash": kept.after_hash,
        }  # fmt: skip
        save_file(kept.values, path, metadata=metadata)
        with pytest.raises(UserError, match=said), edited(model, [path]):
            pass
