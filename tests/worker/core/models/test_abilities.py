"""What a method cannot do with an architecture is said by asking the layout, before any run."""

from pathlib import Path

import pytest
import transformers as hf

from tests.worker.core.models.brought import bring_config
from tests.worker.core.models.families import N_TOKENS, make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskPreflight, Inputs
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.models.abilities import lacks
from worker.core.models.cache import ModelCache
from worker.core.models.describe import list_models
from worker.core.registry import methods
from worker.run import answer, run

SIZES = {
    "vocab_size": N_TOKENS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
MIXTURES = {
    "mixtral": hf.MixtralConfig(**SIZES, num_local_experts=4),
    "qwen3_moe": hf.Qwen3MoeConfig(
        **SIZES, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
    ),
    "gpt_oss": hf.GptOssConfig(**SIZES, head_dim=8, num_local_experts=4, num_experts_per_tok=2),
}
COMPRESSED = hf.DeepseekV2Config(
    **SIZES | {"num_key_value_heads": 4},
    n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, first_k_dense_replace=1,
    q_lora_rank=None, kv_lora_rank=16, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8,
)  # fmt: skip
ALTERNATING = hf.Lfm2Config(**SIZES, layer_types=["full_attention", "conv"])
CLOSED = ("rome", "memit", "alphaedit")
FACTS = FactSet(
    name="games",
    facts=tuple(
        Fact(id=n, subject=n, prompt="{} plays", target="chess", edit_target="golf")
        for n in ("Ada Lund", "Bo Marsh")
    ),
)
MASK = Mask(components=("blocks.1.mlp",))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, config in MIXTURES.items():
        bring_config(root / name, config)
    bring_config(root / "compressed", COMPRESSED)
    bring_config(root / "alternating", ALTERNATING)
    return root


def spec_of(method: str, model: str) -> dict[str, object]:
    return {
        "kind": "unlearn",
        "model": model,
        "method": method,
        "facts": {"set": "games", "forget": "first:1", "known": {"probability": 0}},
        "mask": {"components": list(MASK.components)},
    }


@pytest.mark.parametrize(
    ("family", "expected"),
    [("llama", set()), ("opt", set()), ("gpt2", set()), ("gemma2", {"plain_mlp_write"})],
)
def test_an_architecture_lacks_what_its_layout_says(family: str, expected: set[str]) -> None:
    assert set(lacks(make_model(family))) == expected


def test_mixtures_of_experts_are_listed_with_what_they_lack(root: Path) -> None:
    found = {info.id: info for info in list_models([root])}
    for name in MIXTURES:
        assert not found[name].problem and "mixture of experts" in found[name].lacks["mlp_matrix"]
    assert not found["demo"].lacks
    assert "heads of 'DeepseekV2ForCausalLM' cannot be told apart" in found["compressed"].problem
    assert "Block 1 of 'Lfm2ForCausalLM' has no self_attn" in found["alternating"].problem


def test_the_methods_that_solve_for_a_matrix_say_that_they_need_one() -> None:
    needing = {name for name, m in methods("unlearning").items() if "mlp_matrix" in m.info.needs}
    assert needing == set(CLOSED)


@pytest.mark.parametrize("method", CLOSED)
@pytest.mark.parametrize("model", MIXTURES)
def test_a_closed_form_on_experts_is_refused_in_words_before_it_begins(
    root: Path, tmp_path: Path, method: str, model: str
) -> None:
    models = ModelCache(roots=[root])
    spec = parse_spec(spec_of(method, model))
    inputs = Inputs(out=str(tmp_path), fact_set=FACTS, mask=MASK)
    for ask in (
        lambda: answer(AskPreflight(spec=spec, inputs=inputs), models),
        lambda: run(spec, inputs, Quiet(), models),
    ):
        with pytest.raises(UserError, match=f"{method} cannot be used on '{model}'") as refused:
            ask()
        assert refused.value.problems[0][0] == "method"


def test_what_needs_no_matrix_edits_the_experts(root: Path, tmp_path: Path) -> None:
    spec = spec_of("localized_finetuning", "mixtral") | {
        "options": {"steps": 2, "learning_rate": 1e-3}
    }
    inputs = Inputs(out=str(tmp_path), fact_set=FACTS, mask=MASK)
    found = run(parse_spec(spec), inputs, Quiet(), ModelCache(roots=[root]))
    assert found.receipt is not None and found.receipt.outside_unchanged
    assert any("experts" in tensor.name for tensor in found.receipt.tensors)
