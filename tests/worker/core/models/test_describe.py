"""Whatever lies under a root, it is listed for what it is, and everything else goes on."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.worker.core.models.brought import (
    bring,
    change_config,
    change_tensors,
    change_tokenizer,
    cut,
    shard,
)
from worker.contract.errors import UserError
from worker.contract.menu import ModelInfo
from worker.core.models.describe import list_models
from worker.core.models.folder import look
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.models.tokens import encode


def described(root: Path) -> dict[str, ModelInfo]:
    found = {info.id: info for info in list_models([root])}
    assert not found["demo"].problem, "the bundled model is never hidden by another"
    for info in found.values():
        ModelInfo.model_validate_json(info.model_dump_json())
    return found


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_cache": "yes"}, "use_cache"),
        ({"vocab_size": "32000"}, "vocab_size"),
        ({"hidden_size": 33}, "hidden size"),
        ({"pad_token_id": 9999}, "pad_token_id is no token of the vocabulary"),
        ({"num_hidden_layers": 0}, "0 layers; expected at least 1"),
        ({"num_hidden_layers": -1}, "layers"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers as 1,000,000,000"),
        ({"num_local_experts": 10**9}, "num_local_experts"),
        ({"num_attention_heads": 0}, "cannot make a model"),
        ({"hidden_size": -4}, "negative dimension"),
        ({"vocab_size": 10**15}, "embed_tokens"),
        ({"hidden_act": "swish-of-mine"}, "does not know 'swish-of-mine'"),
        ({"rope_parameters": 5}, "rope_parameters"),
        ({"rms_norm_eps": float("nan")}, "NaN"),
        ({"dtype": "float17"}, "float17"),
        ({"model_type": None}, "is of type 'None'"),
        ({"model_type": "bert"}, "BertConfig|BERT|bert"),
        ({"model_type": "t5"}, "no causal language model"),
        ({"text_config": 5}, "layers|text_config"),
        ({"transformers_weights": "../other.safetensors"}, "transformers_weights"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq, 4 bits"),
        ({"quantization_config": {"quant_method": "awq", "w_bit": 4}}, "awq, 4 bits"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantized"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_followed_is_listed_with_its_problem(
    tmp_path: Path, config: dict[str, object], words: str
) -> None:
    bring(tmp_path / "odd", **config)
    bring(tmp_path / "sound")
    found = described(tmp_path)
    assert not found["sound"].problem
    problem = found["odd"].problem
    assert problem.startswith("'odd'")
    assert any(word in problem for word in words.split("|")), problem
    with pytest.raises(UserError):
        load_model("odd", roots=[tmp_path])


@pytest.mark.parametrize("asked", ["flash_attention_2", "flex_attention", "none-such"])
def test_another_attention_than_is_asked_for_computes_the_same_and_is_told(
    tmp_path: Path, asked: str
) -> None:
    bring(tmp_path / "brought")
    ids = torch.tensor([[0, 5, 9, 33]])
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "brought").eval()
    change_config(tmp_path / "brought", _attn_implementation=asked, attn_implementation=asked)
    info = described(tmp_path)["brought"]
    assert not info.problem and asked in info.notes[0] and "sdpa" in info.notes[0]
    model = load_model("brought", roots=[tmp_path])
    with torch.no_grad():
        torch.testing.assert_close(model.hf(ids).logits, plain(ids).logits)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "5", "[" * 100_000, "\ufeff{}", "\0", '{"model_type": "llama"'],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_configuration_is_listed_with_its_problem(tmp_path: Path, content: str) -> None:
    folder = bring(tmp_path / "odd")
    (folder / "config.json").write_text(content)
    assert "config.json" in described(tmp_path)["odd"].problem


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to, folders in files' places, links to nowhere and in a circle."""
    for name in ("config.json", "tokenizer.json", "README.md", "model.safetensors", "card.json"):
        for kind in ("pipe", "folder", "nowhere", "circle"):
            path = bring(tmp_path / f"{kind}-{name.replace('.', '-')}") / name
            path.unlink(missing_ok=True)
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "folder":
                path.mkdir()
            else:
                path.symlink_to("nothing" if kind == "nowhere" else name)
    found = described(tmp_path)
    for name, info in found.items():
        if name.endswith(("README-md", "card-json")) or name == "demo":
            assert not info.problem
        elif name != "folder-config-json":
            assert info.problem, name


def test_names_and_texts_that_no_page_can_show_are_made_plain(tmp_path: Path) -> None:
    bring(tmp_path / "odd\x07name")
    invalid = os.fsdecode(b"not-\xff-utf8")
    bring(tmp_path / "b").rename(tmp_path / invalid)
    folder = bring(tmp_path / "card")
    (folder / "card.json").write_text('{"title": "half \\ud800\\u0000", "licence": "x\\u0000"}')
    (folder / "README.md").write_bytes(b"---\nlicense: [1\n---\n")
    found = described(tmp_path)
    assert "rename it" in found["odd�name"].problem
    assert "rename it" in found["not-?-utf8"].problem
    assert found["card"].title == "half ?�" and found["card"].licence == "x�"
    text = "".join(info.model_dump_json() for info in found.values())
    assert "\\u0000" not in text and text.encode()


def test_a_library_that_panics_ends_in_a_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rust code panics with an exception that is no Exception."""

    class PanicException(BaseException):
        pass

    def panic(*args: object, **kwargs: object) -> None:
        raise PanicException("index out of bounds")

    bring(tmp_path / "odd")
    monkeypatch.setattr("worker.core.models.describe.check_tokenizer", panic)
    assert "index out of bounds" in {i.id: i for i in list_models([tmp_path])}["odd"].problem


def test_a_mended_folder_is_described_anew_at_once(tmp_path: Path) -> None:
    folder = bring(tmp_path / "odd", use_cache="yes")
    assert described(tmp_path)["odd"].problem
    change_config(folder, use_cache=True)
    assert not described(tmp_path)["odd"].problem
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer" in described(tmp_path)["odd"].problem


@pytest.mark.parametrize(
    ("change", "is_news"),
    [
        (lambda root: change_config(root / "one", use_cache=True), True),
        (lambda root: (root / "one" / "tokenizer.json").unlink(), True),
        (lambda root: cut(root / "one" / "model.safetensors"), True),
        (lambda root: (root / "one").rename(root / "other"), True),
        (lambda root: shutil.rmtree(root / "one"), True),
        (lambda root: shutil.copytree(root / "one", root / "org" / "two"), True),
        (lambda root: (root / "notes.txt").write_text("no model"), False),
        (lambda root: shutil.copytree(root / "one", root / ".making" / "two"), False),
    ],
)
def test_a_look_tells_what_would_be_described_anew(
    tmp_path: Path, change: Callable[[Path], object], is_news: bool
) -> None:
    bring(tmp_path / "one", use_cache="yes")
    before = look([tmp_path])
    assert look([tmp_path]) == before
    change(tmp_path)
    assert (look([tmp_path]) != before) == is_news


@pytest.mark.parametrize(
    ("drop", "named"),
    [
        (["lm_head.weight"], "lm_head.weight"),
        (["model.norm.weight"], "model.norm.weight"),
        ([f"model.layers.1.mlp.{p}_proj.weight" for p in ("gate", "up", "down")], "layers.1.mlp"),
        (["model.embed_tokens.weight"], "model.embed_tokens.weight"),
    ],
)
def test_a_missing_tensor_refuses_the_model_by_name(
    tmp_path: Path, drop: list[str], named: str
) -> None:
    folder = bring(tmp_path / "odd")
    change_tensors(folder, lambda tensors: [tensors.pop(name) for name in drop])
    problem = described(tmp_path)["odd"].problem
    assert named in problem and f"lack {len(drop)} tensor" in problem
    with pytest.raises(UserError, match=named) as refused:
        load_model("odd", roots=[tmp_path])
    assert refused.value.problems[0][0] == "model"


def test_a_layer_more_in_the_config_than_in_the_files_is_refused_by_name(tmp_path: Path) -> None:
    bring(tmp_path / "more", num_hidden_layers=4)
    bring(tmp_path / "fewer", num_hidden_layers=2)
    found = described(tmp_path)
    assert "lack 9 tensors" in found["more"].problem
    assert "model.layers.3." in found["more"].problem
    assert "hold 9 tensors that config.json knows nothing of" in found["fewer"].problem
    assert "model.layers.2." in found["fewer"].problem


def test_a_foreign_prefix_another_shape_and_a_stray_tensor_are_refused_by_name(
    tmp_path: Path,
) -> None:
    def foreign(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[f"transformer.{name}"] = tensors.pop(name)

    change_tensors(bring(tmp_path / "foreign"), foreign)
    bring(tmp_path / "shape", num_key_value_heads=4)
    change_tensors(
        bring(tmp_path / "stray"), lambda t: t.update({"value_head.weight": torch.zeros(1, 32)})
    )
    found = described(tmp_path)
    assert "transformer.lm_head.weight" in found["foreign"].problem
    assert "k_proj.weight 16×32 for 32×32" in found["shape"].problem
    assert "value_head.weight" in found["stray"].problem


def test_tied_heads_and_buffers_that_are_made_anew_are_no_missing_tensors(tmp_path: Path) -> None:
    bring(tmp_path / "gpt2", "gpt2")  # its head is its embedding, stored once
    old = bring(tmp_path / "old")
    change_tensors(
        old, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    )
    found = described(tmp_path)
    assert not found["gpt2"].problem and not found["old"].problem
    for name in ("gpt2", "old"):
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / name).eval()
        ids = torch.tensor([[0, 5, 9, 33]])
        with torch.no_grad():
            own = load_model(name, roots=[tmp_path]).hf(ids).logits
            torch.testing.assert_close(own, plain(ids).logits)


def test_cut_files_and_missing_shards_are_named(tmp_path: Path) -> None:
    size = (bring(tmp_path / "half") / "model.safetensors").stat().st_size
    cut(tmp_path / "half/model.safetensors")
    cut(bring(tmp_path / "head") / "model.safetensors", 0.001)
    (bring(tmp_path / "empty") / "model.safetensors").write_bytes(b"")
    (shard(bring(tmp_path / "fewer")) / "model-00002-of-00003.safetensors").unlink()
    cut(shard(bring(tmp_path / "shard")) / "model-00003-of-00003.safetensors", 0.9)
    (shard(bring(tmp_path / "list")) / "model.safetensors.index.json").unlink()
    cut(shard(bring(tmp_path / "listed")) / "model.safetensors.index.json")
    index = shard(bring(tmp_path / "away")) / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../list/model-00001"))
    shard(bring(tmp_path / "whole"))
    found = described(tmp_path)
    assert f"its header speaks of {size:,}" in found["half"].problem
    for name in ("head", "empty"):
        assert "model.safetensors cannot be read" in found[name].problem
    assert "1 of its 3 shards: model-00002-of-00003.safetensors" in found["fewer"].problem
    assert "model-00003-of-00003.safetensors cannot be read" in found["shard"].problem
    assert "neither model.safetensors nor model.safetensors.index" in found["list"].problem
    assert "index.json cannot be read" in found["listed"].problem
    assert "names of files beside it" in found["away"].problem
    assert not found["whole"].problem
    for name in ("half", "fewer", "shard"):
        with pytest.raises(UserError, match=r"\.safetensors"):
            load_model(name, roots=[tmp_path])


def test_a_model_without_a_whole_tokenizer_is_refused(tmp_path: Path) -> None:
    for file in bring(tmp_path / "none").glob("tokenizer*"):
        file.unlink()
    for file in bring(tmp_path / "gpt2", "gpt2").glob("tokenizer*"):
        file.unlink()
    cut(bring(tmp_path / "half") / "tokenizer.json")
    change_tokenizer(bring(tmp_path / "empty"), lambda made: {})
    found = described(tmp_path)
    assert "no tokenizer; expected tokenizer.json" in found["none"].problem
    assert "no tokenizer; expected tokenizer.json" in found["gpt2"].problem
    assert "tokenizer cannot be read" in found["half"].problem
    assert "tokenizer cannot be read" in found["empty"].problem


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tokenizer.json", {"pre_tokenizer": {"type": "?"}}, "its tokenizer cannot be read"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": -3}}}, "cannot be read"),
        ("tokenizer_config.json", [1], "its tokenizer cannot be read"),
        ("special_tokens_map.json", [1], "its tokenizer cannot be read"),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}},
            "Lethe runs no code that comes with a model",
        ),
        ("generation_config.json", [1], "generation_config.json holds no JSON object but list"),
    ],
)
def test_what_a_loading_would_stumble_over_is_said_when_the_model_is_listed(
    tmp_path: Path, file: str, content: object, words: str
) -> None:
    path = bring(tmp_path / "odd") / file
    if isinstance(content, dict) and path.exists():
        content = json.loads(path.read_text()) | content
    path.write_text(json.dumps(content))
    assert words in described(tmp_path)["odd"].problem
    with pytest.raises(UserError, match=words):
        load_model("odd", roots=[tmp_path])


def test_weights_that_are_a_dead_link_or_no_file_are_said_to_be_so(tmp_path: Path) -> None:
    gone, folder = bring(tmp_path / "gone"), bring(tmp_path / "folder")
    for path in (gone / "model.safetensors", folder / "model.safetensors"):
        path.unlink()
    (gone / "model.safetensors").symlink_to("../blobs/0f")
    (folder / "model.safetensors").mkdir()
    found = described(tmp_path)
    assert "model.safetensors is a link to '../blobs/0f', where no file is" in found["gone"].problem
    assert "model.safetensors is no file" in found["folder"].problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: index.pop("metadata"), "it lacks 'metadata'"),
        (lambda index: index["weight_map"].update(x=3), "3 is no name of a file"),
        (lambda index: index.update(weight_map=[1]), "index.json cannot be read"),
        (lambda index: index["weight_map"].update(x=".."), "names of files beside it"),
        (
            lambda index: index["weight_map"].update({f"t{n}": f"{n}.st" for n in range(20_000)}),
            "lacks 20000 of its 20003 shards",
        ),
    ],
)
def test_an_odd_list_of_shards_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    path = shard(bring(tmp_path / "odd")) / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    assert words in described(tmp_path)["odd"].problem


def test_an_older_tokenizer_of_two_files_is_taken(tmp_path: Path) -> None:
    folder = bring(tmp_path / "gpt2", "gpt2")
    made = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(made["model"]["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert not described(tmp_path)["gpt2"].problem
    assert load_model("gpt2", roots=[tmp_path]).tokenizer("go")["input_ids"]


def test_fewer_embedding_rows_than_tokens_are_refused_and_special_ones_told(tmp_path: Path) -> None:
    def add(token: str, special: bool) -> None:
        entry = {
            "id": 262, "content": token, "special": special, "single_word": False,
            "lstrip": False, "rstrip": False, "normalized": False,
        }  # fmt: skip
        change_tokenizer(
            bring(tmp_path / token), lambda m: m | {"added_tokens": [*m["added_tokens"], entry]}
        )

    def fewer(tensors: dict[str, torch.Tensor]) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = tensors[name][:258].clone()

    change_tensors(bring(tmp_path / "rows", vocab_size=258), fewer)
    add("added", special=False)
    add("special", special=True)
    found = described(tmp_path)
    assert "up to id 261" in found["rows"].problem
    assert "258 rows" in found["rows"].problem and "4 tokens" in found["rows"].problem
    assert "'added'" in found["added"].problem
    assert not found["special"].problem and "special" in found["special"].notes[0]
    model = load_model("special", roots=[tmp_path])
    assert encode(model, "a plain text", None).ids
    with pytest.raises(UserError, match="holds the token 'special', which has no embedding"):
        encode(model, "a special text", None)


def test_what_is_no_plain_folder_is_said_with_the_way_in(tmp_path: Path) -> None:
    gguf = tmp_path / "gguf-only"
    gguf.mkdir()
    (gguf / "model-q4.gguf").write_bytes(b"GGUF" + bytes(100))
    beside = bring(tmp_path / "gguf-with-config")
    (beside / "model.safetensors").unlink()
    (beside / "model-q8.gguf").write_bytes(b"GGUF" + bytes(100))
    (tmp_path / "loose.gguf").write_bytes(b"GGUF" + bytes(100))
    adapter = tmp_path / "lora"
    adapter.mkdir()
    said = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    (adapter / "adapter_config.json").write_text(json.dumps(said))
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    both = bring(tmp_path / "both")
    (both / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    (both / "adapter_model.safetensors").write_bytes(b"")
    (bring(tmp_path / "bare") / "config.json").unlink()
    other = bring(tmp_path / "consolidated")
    (other / "model.safetensors").rename(other / "consolidated.safetensors")
    packed = bring(tmp_path / "packed")
    change_tensors(
        packed,
        lambda t: t.update(
            {"model.layers.0.mlp.up_proj.qweight": torch.zeros(4, 4, dtype=torch.int32)}
        ),
    )
    found = described(tmp_path)
    assert f"lethe model add {gguf}/model-q4.gguf" in found["gguf-only"].problem
    assert f"lethe model add {beside}/model-q8.gguf" in found["gguf-with-config"].problem
    assert f"lethe model add {tmp_path}/loose.gguf" in found[tmp_path.name].problem
    assert "LoRA adapter for 'org/base'" in found["lora"].problem
    assert f"lethe model add {adapter} --onto MODEL" in found["lora"].problem
    assert "an adapter (IA3)" in found["both"].problem and "--onto both" in found["both"].problem
    assert "no config.json" in found["bare"].problem
    assert "consolidated.safetensors" in found["consolidated"].problem
    assert "quantized: model.layers.0.mlp.up_proj.qweight in I32" in found["packed"].problem
    for name in set(found) - {"demo", tmp_path.name}:
        with pytest.raises(UserError):
            load_model(name, roots=[tmp_path])


def test_what_a_loading_leaves_out_is_refused_though_the_headers_were_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may change between the check and the loading."""
    folder = bring(tmp_path / "odd")
    from worker.core.models import load

    weightless: Model = load.make_weightless("odd", folder)
    monkeypatch.setattr(load, "make_weightless", lambda name, folder: weightless)
    change_tensors(folder, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(UserError, match=r"lack 1 tensor .*lm_head\.weight"):
        load_model("odd", roots=[tmp_path])


@pytest.mark.parametrize("window", [-2e-134, "wide"], ids=str)
def test_a_configuration_that_only_a_run_shows_to_be_odd_is_refused_at_loading(
    tmp_path: Path, window: object
) -> None:
    bring(tmp_path / "odd", sliding_window=window)
    with pytest.raises(UserError, match=r"'odd' .*(cannot be run|cannot make a model)"):
        load_model("odd", roots=[tmp_path])
