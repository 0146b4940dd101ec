"""Random damage to a tiny model's folder ends in one of three ways, and never in a lost process.

It works and equals plain transformers; it is refused in words; or it is listed with a problem.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from tests.worker.core.models.brought import bring, change_config, change_tensors, cut
from worker.contract.errors import LetheError, UserError
from worker.core.models.describe import describe_model
from worker.core.models.load import load_model

IDS = torch.tensor([[0, 5, 9, 33, 100, 7]])
CONFIG_KEYS = (
    "architectures", "attention_bias", "bos_token_id", "dtype", "eos_token_id", "head_dim",
    "hidden_act", "hidden_size", "intermediate_size", "max_position_embeddings", "mlp_bias",
    "model_type", "num_attention_heads", "num_hidden_layers", "num_key_value_heads",
    "pad_token_id", "rms_norm_eps", "rope_parameters", "tie_word_embeddings", "use_cache",
    "vocab_size", "quantization_config", "text_config", "_attn_implementation", "auto_map",
    "transformers_weights", "num_local_experts", "layer_types", "sliding_window",
)  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([10**9, 10**15, 2**63, -(2**63), 16, 32, 48, 262]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=8),
    st.sampled_from(["gpt2", "mixtral", "bert", "float16", "float17", "relu", "eager"]),
    st.lists(st.integers(0, 4), max_size=3),
    st.dictionaries(st.text(max_size=6), st.integers(0, 4), max_size=2),
)
TENSORS = (
    "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight",
    "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.o_proj.weight",
    "model.layers.2.mlp.up_proj.weight", "model.layers.1.input_layernorm.weight",
)  # fmt: skip
FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")

Damage = Callable[[Path], object]


def _rename(name: str, to: str) -> Damage:
    return lambda folder: change_tensors(folder, lambda t: t.update({to: t.pop(name)}))


def _cut_tensor(name: str, rows: int) -> Damage:
    return lambda folder: change_tensors(folder, lambda t: t.update({name: t[name][:rows].clone()}))


def _fill(name: str, value: float) -> Damage:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name].view(-1)[0] = value

    return lambda folder: change_tensors(folder, damage)


def _flip(name: str, place: float, byte: int) -> Damage:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[int(place * (len(data) - 1))] = byte
        (folder / name).write_bytes(data)

    return damage


def _drop_key(key: str) -> Damage:
    def damage(folder: Path) -> None:
        made = json.loads((folder / "config.json").read_text())
        made.pop(key, None)
        (folder / "config.json").write_text(json.dumps(made))

    return damage


tensor = st.sampled_from(TENSORS)
file = st.sampled_from(FILES)
DAMAGES = st.one_of(
    st.builds(
        lambda key, value: lambda folder: change_config(folder, **{key: value}),
        st.sampled_from(CONFIG_KEYS),
        VALUES,
    ),
    st.builds(_drop_key, st.sampled_from(CONFIG_KEYS)),
    st.builds(lambda n: lambda folder: change_tensors(folder, lambda t: t.pop(n)), tensor),
    st.builds(_rename, tensor, st.sampled_from(["x", "model.layers.0.x.weight", "encoder.y"])),
    st.builds(_cut_tensor, tensor, st.integers(0, 31)),
    st.builds(_fill, tensor, st.sampled_from([float("nan"), float("inf"), 1e38])),
    st.builds(lambda n, share: lambda folder: cut(folder / n, share), file, st.floats(0, 0.999)),
    st.builds(_flip, file, st.floats(0, 1), st.integers(0, 255)),
    st.builds(lambda n: lambda folder: (folder / n).unlink(), file),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bring(tmp_path_factory.mktemp("whole") / "odd")


def _plain(folder: Path) -> Any:
    """What plain transformers answers, with what it would refuse to compute with put right."""
    attention = {"attn_implementation": "sdpa"}
    config = json.loads((folder / "config.json").read_text())
    for key in ("_attn_implementation", "attn_implementation"):
        config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config))
    made = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **attention)
    with torch.no_grad():
        return made.eval()(IDS).logits


def check(folder: Path) -> str:
    """Say which of the three ways a folder goes; fail on any other."""
    info = describe_model("odd", folder)
    info.model_validate_json(info.model_dump_json())
    if info.problem:
        assert len(info.problem) > 20
        with pytest.raises(UserError):
            load_model(str(folder), roots=[folder.parent])
        return "listed with a problem"
    try:
        model = load_model(str(folder), roots=[folder.parent])
    except UserError as error:
        assert len(error.message) > 20
        return "refused in words"
    try:
        with torch.no_grad():
            own = model.hf(IDS).logits
    except LetheError as error:  # numbers that overflow on the way
        assert len(str(error)) > 20
        return "refused in words"
    torch.testing.assert_close(own, _plain(folder), equal_nan=True)
    return "works"


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # an example says enough; making it smaller takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damages=st.lists(DAMAGES, min_size=1, max_size=2))
def test_random_damage_ends_in_one_of_three_ways(
    damages: list[Damage], whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    for damage in damages:
        try:
            damage(folder)
        except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError):
            continue  # what an earlier damage took away cannot be damaged again
    assert check(folder) in ("works", "refused in words", "listed with a problem")
