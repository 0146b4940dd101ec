"""What is said of an attack's memory, counted by hand."""

import pytest
import transformers as hf

from tests.worker.core.models.families import N_TOKENS, make_model, make_tokenizer
from worker.core.models.memory import PROMPT, kept_bytes, logits_bytes
from worker.core.models.model import Model
from worker.core.training import attack_memory as _attack_memory
from worker.core.training.adapters import lora
from worker.core.training.attack_memory import adapter_parameters, attack_bytes, prompts_bytes
from worker.core.training.relearn import RelearnOptions

TEXT = RelearnOptions(general_text="a b c d\nall the games", context=8)


def make_experts() -> Model:
    config = hf.MixtralConfig(
        vocab_size=N_TOKENS, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, num_local_experts=3,
    )  # fmt: skip
    return Model("experts", hf.AutoModelForCausalLM.from_config(config), make_tokenizer())


@pytest.mark.parametrize("family", ["llama", "gpt2", "experts"])
@pytest.mark.parametrize("rank", [3, 4096])
def test_as_many_parameters_are_counted_as_adapters_have(family: str, rank: int) -> None:
    model = make_experts() if family == "experts" else make_model(family)
    with lora(model, rank, 32.0, 0.0) as parameters:
        made = sum(p.numel() for p in parameters)
    assert adapter_parameters(model, rank) == made


def test_adapters_count_three_times_and_the_matrices_that_they_are_added_to_once() -> None:
    model = make_model("llama")
    wide = TEXT.model_copy(update={"rank": 4096, "text_batch": 1, "fact_batch": 1})
    narrow = wide.model_copy(update={"rank": 1})
    more = adapter_parameters(model, 4096) - adapter_parameters(model, 1)
    step = attack_bytes(model, ("lora",), narrow)
    # Their gradients count where they are larger than what is let go meanwhile.
    assert 12 * more <= attack_bytes(model, ("lora",), wide) - step <= 16 * more
    dropping = narrow.model_copy(update={"dropout": 0.1})
    blocks = 4 * sum(p.numel() for p in model.blocks.parameters())
    assert step - attack_bytes(model, ("lora",), dropping) == blocks


@pytest.mark.parametrize("kept", [10, 10_000])
@pytest.mark.parametrize(
    ("dropout", "context", "n_text"), [(0.0, 8, 8), (0.1, 10, 10), (0.0, 40, 13)]
)
def test_each_attack_takes_what_is_counted_by_hand(
    kept: int, dropout: float, context: int, n_text: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("llama")
    monkeypatch.setattr(_attack_memory, "kept_bytes", lambda model: kept)
    options = TEXT.model_copy(
        update={
            "context": context,
            "text_batch": 2,
            "fact_batch": 3,
            "dropout": dropout,
            "rank": 32,
        }
    )
    tokens = 2 * n_text  # of "all the games": a beginning and 13 bytes, each predicting the next
    step = (tokens + 2 * 3 * 16) * kept + 3 * 4 * tokens * N_TOKENS
    blocks = 4 * sum(p.numel() for p in model.blocks.parameters())
    every = 4 * sum(p.numel() for p in model.hf.parameters())
    own = 4 * adapter_parameters(model, 32)
    assert (own < step) == (kept > 10) == (blocks < step), "both are to be seen"
    added = 0 if dropout else blocks
    assert attack_bytes(model, ("lora",), options) == 3 * own + added + max(step, own)
    full = every + 2 * blocks + max(step, blocks)
    assert attack_bytes(model, ("full",), options) == full


def test_the_largest_attack_counts_and_longer_texts_take_more() -> None:
    model = make_model("llama")
    each = [attack_bytes(model, (mode,), TEXT) for mode in ("lora", "full")]
    assert attack_bytes(model, ("lora", "full"), TEXT) == max(each)
    short = TEXT.model_copy(update={"context": 9, "general_text": "a\nb c"})
    assert attack_bytes(model, ("full",), short) < each[1]


def test_vectors_before_prompts_take_what_is_kept_of_their_tokens() -> None:
    model = make_model("gpt2")
    told = prompts_bytes(model, rows=6, more=8)
    assert told == 6 * (PROMPT + 8) * kept_bytes(model) + logits_bytes(model, 6)
