"""GGUF files of several families become the models that they were made of; others are refused."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests.worker.core.models.gguf_made import ARCHITECTURES, make_gguf, tolerance
from worker.contract.errors import UserError
from worker.core.models.describe import list_models
from worker.core.models.gguf import read_header, read_model, readable
from worker.core.models.load import load_model
from worker.core.models.making import add_gguf


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_float32_values_come_back_as_they_were(family: str, tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    source = make_gguf(file, family)
    read = read_model(file, read_header(file))
    found = dict(read.hf.named_parameters())
    assert set(found) == set(dict(source.hf.named_parameters()))
    for name, value in source.hf.named_parameters():
        # Gemma's norms are stored with 1 added, which costs their last bits.
        torch.testing.assert_close(found[name], value, rtol=0, atol=2e-7 if "norm" in name else 0)


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_a_file_computes_what_its_source_computes(family: str, tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    source = make_gguf(file, family)
    read = read_model(file, read_header(file))
    ids = torch.randint(2, source.d_vocab, (2, 11), generator=torch.Generator().manual_seed(0))
    theirs, ours = source.hf(ids).logits, read.hf.eval()(ids).logits
    # Norms of Gemma differ in their last bits.
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_1])
@pytest.mark.parametrize("family", ["llama", "gemma2", "phi3", "gpt2"])
def test_quantized_values_come_back_within_half_a_step(
    family: str, kind: Kind, tmp_path: Path
) -> None:
    file = tmp_path / "a.gguf"
    source = make_gguf(file, family, kind=kind)
    header = read_header(file)
    assert kind.name in header.kinds
    found = dict(read_model(file, header).hf.named_parameters())
    for name, value in source.hf.named_parameters():
        is_transposed = family == "gpt2" and value.ndim == 2 and ".h." in name
        rows = value.T if is_transposed else value
        allowed = tolerance(rows.detach().contiguous(), kind) + 2e-7
        assert ((found[name] - value).abs() <= (allowed.T if is_transposed else allowed)).all()


def test_a_file_is_added_as_a_model_that_loads_and_says_how_it_was_made(tmp_path: Path) -> None:
    file, root = tmp_path / "tiny-q8.gguf", tmp_path / "models"
    source = make_gguf(file, "qwen2", kind=Kind.Q8_0, settings={"general.license": "mit"})
    info = add_gguf(file, root)
    assert (info.id, info.architecture, info.licence) == ("tiny-q8", "Qwen2ForCausalLM", "mit")
    assert info.note == "Dequantized from Q8_0; not the published float weights."
    assert info.dtype == "float32" and info.n_layers == source.n_layers
    model = load_model("tiny-q8", roots=[root])
    assert model.tokenizer("and more")["input_ids"][0] == model.tokenizer("and")["input_ids"][0]
    assert [found.id for found in list_models([root]) if found.id != "demo"] == ["tiny-q8"]
    with pytest.raises(UserError, match="There is a model 'tiny-q8' already"):
        add_gguf(file, root)


def test_float_files_have_no_note_of_lost_bits(tmp_path: Path) -> None:
    make_gguf(tmp_path / "float.gguf", "llama")
    assert add_gguf(tmp_path / "float.gguf", tmp_path / "models", "org/float").note == ""


def test_digits_stand_apart_where_the_file_says_so_and_unknown_cutting_is_said(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.gguf"
    make_gguf(file, settings={"tokenizer.ggml.pre": "smollm"})
    tokenizer = read_model(file, read_header(file)).tokenizer
    words = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("of 1234")
    assert [word for word, _ in words] == ["of", "Ġ", "1", "2", "3", "4"]
    make_gguf(file, settings={"tokenizer.ggml.pre": "from-elsewhere"})
    assert "'from-elsewhere', is not known here" in read_model(file, read_header(file)).notes[0]


def test_rotary_scaling_of_llama_3_is_known_by_its_factors(tmp_path: Path) -> None:
    file, base = tmp_path / "a.gguf", {"llama.rope.freq_base": 5e5}
    source = make_gguf(file)
    scaled = {
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    }  # fmt: skip
    config = LlamaConfig(**source.hf.config.to_dict() | {"rope_parameters": scaled})
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 1.0 / 5e5 ** (torch.arange(0, 8, 2).float() / 8)
    factors = (plain / frequencies).numpy()
    assert factors[0] == 1 and factors[-1] > 1
    make_gguf(file, settings=base, more={"rope_freqs.weight": factors})
    read = read_model(file, read_header(file))
    expected = LlamaForCausalLM(config).eval()
    expected.load_state_dict(source.hf.state_dict())
    ids = torch.arange(2, 62)[None]
    torch.testing.assert_close(read.hf.eval()(ids).logits, expected(ids).logits)
    odd = factors * np.array([1, 2, 1, 1])
    make_gguf(file, settings=base, more={"rope_freqs.weight": odd})
    with pytest.raises(UserError, match="factors that are not Llama 3's"):
        read_model(file, read_header(file))


def test_rotary_scaling_that_a_file_names_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    scaling = {"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": 4.0}
    make_gguf(file, "qwen2", settings=scaling | {"qwen2.rope.scaling.original_context_length": 32})
    rope = read_model(file, read_header(file)).hf.config.rope_parameters
    assert (rope["rope_type"], rope["factor"]) == ("yarn", 4.0)
    assert rope["original_max_position_embeddings"] == 32
    make_gguf(
        file,
        "phi3",
        settings={"phi3.rope.scaling.original_context_length": 64},
        more={
            "rope_factors_long.weight": np.array([1, 2, 3, 4]),
            "rope_factors_short.weight": np.array([1, 1, 1, 2]),
        },
    )
    rope = read_model(file, read_header(file)).hf.config.rope_parameters
    assert rope["rope_type"] == "longrope" and rope["long_factor"] == [1, 2, 3, 4]
    make_gguf(file, settings={"llama.rope.scaling.type": "spiral"})
    with pytest.raises(UserError, match="scaled by 'spiral', which is not known"):
        read_model(file, read_header(file))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"without": "ffn_up"}, "lacks 3 tensors .* such as 'model.layers.0.mlp.up_proj.weight'"),
        ({"without": "blk.2.attn_q"}, "lacks 1 tensors that LlamaForCausalLM needs"),
        ({"more": {"blk.0.ffn_gate_exps.weight": np.ones((2, 4, 32))}}, "of another kind than its"),
        ({"settings": {"general.architecture": "spellbound"}}, "'spellbound', .* these are: bloom"),
        ({"settings": {"general.architecture": "t5"}}, "'t5', which is not read here"),
        ({"settings": {"general.type": "adapter"}}, "holds a adapter, not a model"),
        ({"settings": {"split.count": 3}}, "one of 3 parts .* Merge them"),
        ({"settings": {"llama.attention.head_count": 5}}, "cannot be dequantized"),
        ({"settings": {"tokenizer.ggml.model": "rwkv"}}, "tokenizer 'rwkv'"),
    ],
)
def test_a_file_that_no_model_can_be_made_of_is_refused_with_its_reason(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file, root = tmp_path / "odd.gguf", tmp_path / "models"
    make_gguf(file, **change)
    with pytest.raises(UserError, match=words):
        add_gguf(file, root)
    assert list_models([root])[1:] == [] and not any(root.glob("odd*"))


def test_a_file_cut_anywhere_is_refused_in_words(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.gguf", tmp_path / "cut.gguf"
    make_gguf(whole, kind=Kind.Q8_0)
    data = whole.read_bytes()
    end = max(tensor.start + tensor.n_bytes for tensor in read_header(whole).tensors)
    for length in [0, 3, 4, 8, 23, 24, 60, *range(100, end, 997), end - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"'cut.gguf' is no whole GGUF file: .*fetch it again"):
            read_header(cut)


def test_a_file_with_changed_bytes_is_read_or_refused_and_never_fails_otherwise(
    tmp_path: Path,
) -> None:
    whole, changed = tmp_path / "whole.gguf", tmp_path / "changed.gguf"
    make_gguf(whole)
    begin = min(tensor.start for tensor in read_header(whole).tensors)
    drawn = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole.read_bytes())
        for place in drawn.integers(0, begin, size=3):
            data[place] = drawn.integers(0, 256)
        changed.write_bytes(data)
        with suppress(UserError):
            read_header(changed)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GGML" + bytes(64), "does not begin with the letters GGUF"),
        (b"GGUF" + bytes([1, 0, 0, 0]) + bytes(64), "version 1"),
        (b"GGUF" + bytes([0, 0, 0, 3]) + bytes(64), "little-endian"),
        (b"GGUF" + bytes([3, 0, 0, 0]) + bytes(64), "holds no tensor"),
        (b"GGUF" + bytes([3, 0, 0, 0]) + b"\xff" * 64, "inside its head"),
    ],
)
def test_what_is_no_gguf_of_today_is_said(data: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(data)
    with pytest.raises(UserError, match=words):
        read_header(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_header(tmp_path / "nowhere.gguf")


def test_the_families_that_the_readme_names_are_read() -> None:
    assert {"llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "gpt2"} <= set(readable())
    assert not {"t5", "deci", "umt5"} & set(readable()), "no causal language model"
