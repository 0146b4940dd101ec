from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from worker.contract.errors import UserError
from worker.core.export import export_folder
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import checksum, edited
from worker.core.models.model import Model


@pytest.fixture(params=["llama", "gpt2", "gemma2"])
def edit(request, build_model, tmp_path: Path) -> tuple[Model, Path]:
    """A tiny model and a delta that changes its second MLP."""
    model = build_model(request.param)
    before = checksum(model)
    parameters = dict(model.hf.named_parameters())
    name = next(n for n in parameters if ".1.mlp" in n and n.endswith("weight"))
    kept = parameters[name].detach().clone()
    with torch.no_grad():
        parameters[name].add_(0.5)
        after, changed = checksum(model), parameters[name].detach().clone()
        parameters[name].copy_(kept)
    path = tmp_path / "delta.safetensors"
    save_delta(path, {name: changed}, model=model, before_hash=before, after_hash=after)
    return model, path


def test_plain_transformers_loads_the_folder_and_answers_the_same(
    edit: tuple[Model, Path], tmp_path: Path
) -> None:
    model, delta = edit
    export_folder(model, [delta], tmp_path / "out")
    ids = torch.tensor([[0, 5, 9, 12]])
    with edited(model, [delta]), torch.no_grad():
        expected = model.hf(ids).logits
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, expected, atol=1e-5)
    assert tokenizer("Ada Lund")["input_ids"] == model.tokenizer("Ada Lund")["input_ids"]


def test_the_base_is_untouched_and_the_card_names_it(
    edit: tuple[Model, Path], tmp_path: Path
) -> None:
    model, delta = edit
    digest = export_folder(model, [delta], tmp_path / "out")
    assert checksum(model) == model.weights_hash != digest
    assert model.weights_hash[:16] in (tmp_path / "out/README.md").read_text()


def test_a_folder_that_holds_something_is_refused(edit: tuple[Model, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        export_folder(edit[0], [edit[1]], tmp_path / "out")
    assert (tmp_path / "out/precious").read_text() == "x"
