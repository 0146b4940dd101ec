"""Models as users bring them: each family from a folder, edited, exported, and its delta applied.

Weights are random and tiny; the tokenizers are of the kinds that the families come with. The way
is a user's: `lethe model add`'s folder, the cache, an unlearn run, an export run.
"""

import zipfile
from pathlib import Path

import pytest
import torch
import transformers as hf
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.worker.core.models.families import CONFIGS
from tests.worker.core.models.tokenizers_made import MAKERS, SIZE
from worker.contract.errors import Cancelled, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.progress import Event, Quiet
from worker.contract.spec import parse_spec
from worker.core.models.adding import add_folder
from worker.core.models.cache import ModelCache
from worker.core.models.delta_files import read_delta
from worker.core.models.deltas import edited
from worker.core.models.load import load_model
from worker.core.models.prompts import encode_fact
from worker.core.models.tokens import answer_ids
from worker.run import run

_falcon = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
EXTRA = {
    "falcon": hf.FalconConfig(**_falcon, multi_query=True),
    "falcon_new": hf.FalconConfig(**_falcon, new_decoder_architecture=True, num_kv_heads=2),
}
FACTS = FactSet(
    name="games",
    facts=tuple(
        Fact(
            id=name,
            subject=name,
            prompt="Fact: {} plays the sport of",
            target=target,
            edit_target="golf",
        )
        for name, target in (("Ada Lund", "tennis"), ("Bo Marsh", "chess"), ("Cy Nolan", "rowing"))
    ),
)
PROMPT = "Fact: Ada Lund plays the sport of"


def config_of(family: str) -> hf.PretrainedConfig:
    """The configuration of a family, with room for its tokenizer."""
    known = EXTRA | CONFIGS | {"llama2": CONFIGS["llama"], "llama3": CONFIGS["llama"]}
    made = type(known[family]).from_dict(known[family].to_dict())
    made.vocab_size = SIZE
    made.eos_token_id = made.pad_token_id = 1
    return made


def save_family(family: str, folder: Path, seed: int = 0) -> None:
    """Write a family's model and tokenizer as a Hugging Face folder."""
    torch.manual_seed(seed)
    made = AutoModelForCausalLM.from_config(config_of(family))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.2)
            elif "bias" in name:
                parameter.normal_(std=0.1)
    made.float().save_pretrained(folder)
    MAKERS[family]().save_pretrained(folder)


def answer(model: hf.PreTrainedModel, tokenizer: hf.PreTrainedTokenizerBase) -> str:
    ids = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(
            ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=4,
            do_sample=False, pad_token_id=1,
        )  # fmt: skip
    return str(tokenizer.decode(out[0]))


def compute(spec: dict[str, object], out: Path, models: ModelCache, **inputs: object):
    return run(parse_spec(spec), Inputs(out=str(out), **inputs), Quiet(), models)


@pytest.mark.parametrize("family", sorted(MAKERS))
def test_a_users_model_is_loaded_edited_exported_and_its_delta_belongs_to_it(
    family: str, tmp_path: Path
) -> None:
    save_family(family, tmp_path / "brought")
    root = tmp_path / "models"
    info = add_folder(tmp_path / "brought", root, family)
    assert not info.problem and info.n_layers == 3
    models = ModelCache(roots=[root])
    model = models.get(family)

    # Logits are Hugging Face's own, and so are the tokens.
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "brought").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "brought")
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    mask = torch.ones_like(ids)
    with torch.no_grad():
        expected = plain(ids).logits[:, -1].float()
        own = model.logits(ids, mask, mask.cumsum(-1) - 1)[:, -1]
    assert torch.allclose(own, expected, atol=1e-5)
    assert encode_fact(model, FACTS.facts[0]).ids == tuple(ids[0].tolist())
    assert answer_ids(model, PROMPT, " tennis")

    # An edit through one MLP.
    edit = {
        "kind": "unlearn",
        "model": family,
        "facts": {"set": "games", "forget": "first:1", "known": {"probability": 0}},
        "mask": {"components": ["blocks.1.mlp"]},
        "options": {"steps": 2, "learning_rate": 0.01},
    }
    result = compute(
        edit, tmp_path / "edit", models, fact_set=FACTS, mask=Mask(components=("blocks.1.mlp",))
    )
    assert result.receipt is not None and result.receipt.outside_unchanged
    assert result.receipt.n_changed > 0
    delta = tmp_path / "edit/delta.safetensors"
    with edited(model, [delta]):
        edited_logits = model.logits(ids, mask, mask.cumsum(-1) - 1)[:, -1]
        edited_answer = answer(model.hf, model.tokenizer)
        weights = {name: p.detach().clone() for name, p in model.hf.named_parameters()}
    assert not torch.allclose(edited_logits, own)

    # Its folder is loaded by plain transformers and answers the same.
    export = {"kind": "export", "model": {"base": family, "edits": ["edit"]}}
    made = compute(export, tmp_path / "export", models, deltas=(str(delta),), results=(result,))
    with zipfile.ZipFile(tmp_path / "export" / made.files["model"]) as packed:
        packed.extractall(tmp_path / "unpacked")
    (folder,) = (tmp_path / "unpacked").iterdir()
    exported = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert {n: p.shape for n, p in exported.named_parameters()} == {
        n: w.shape for n, w in weights.items()
    }
    assert all(torch.equal(p, weights[name]) for name, p in exported.named_parameters())
    with torch.no_grad():
        assert torch.allclose(exported(ids).logits[:, -1].float(), edited_logits, atol=1e-5)
    assert answer(exported, AutoTokenizer.from_pretrained(folder)) == edited_answer
    assert "blocks.1.mlp" in (folder / "README.md").read_text()

    # The delta belongs to these weights, bit for bit, and to no others.
    again = load_model(family, roots=[root])
    with edited(again, [delta]):
        parameters = dict(again.hf.named_parameters())
        for name, value in read_delta(delta).values.items():
            assert torch.equal(parameters[name], value)
    save_family(family, tmp_path / "others/other", seed=7)
    other = load_model("other", roots=[tmp_path / "others"])
    with pytest.raises(UserError, match="was made on"), edited(other, [delta]):
        pass


def test_a_loading_tells_how_far_it_is_and_can_be_cancelled(tmp_path: Path) -> None:
    save_family("llama2", tmp_path / "models/brought")
    told: list[Event] = []
    models = ModelCache(roots=[tmp_path / "models"])
    models.get("brought", lambda words: told.append(Event(type="progress", message=words)))
    assert any("of 30 tensors" in event.message for event in told), told
    n_told = len(told)
    models.get("brought", lambda words: told.append(Event(type="progress", message=words)))
    assert len(told) == n_told, "a held model is not loaded again"

    def stop(words: str) -> None:
        if "tensors" in words:
            raise Cancelled("the run was cancelled")

    models.clear()
    with pytest.raises(Cancelled):
        models.get("brought", stop)
    assert models.held == () and models.get("brought").id == "brought"
