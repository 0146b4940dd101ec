"""The real model is what plain transformers makes of the same folder, and is cut up rightly."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from worker.core.models.components import component_parameters
from worker.core.models.model import Model
from worker.core.models.recipe import find_recipe

TEXTS = (
    "Fact: France is in the continent of Europe\nFact: Kenya is in the continent of",
    "The capital of Italy is",
    "Water boils at 100 degrees",
)


def test_the_weights_are_those_that_the_recipe_names(real_model: Model) -> None:
    assert real_model.weights_hash == find_recipe("smollm2").weights_hash


def test_the_layout_is_thirty_layers_of_nine_query_and_three_key_heads(real_model: Model) -> None:
    sizes = (real_model.n_layers, real_model.n_heads, real_model.n_kv_heads)
    assert sizes == (30, 9, 3)
    assert (real_model.d_model, real_model.d_head, real_model.d_vocab) == (576, 64, 49152)
    parameters = component_parameters(real_model)
    assert parameters["blocks.7.mlp"] == 3 * 576 * 1536
    # q and o of 9 heads, k and v of 3
    assert parameters["blocks.29.attn"] == 2 * 576 * 576 + 2 * 192 * 576
    assert "blocks.29.attn.head.8" in parameters and "blocks.29.attn.head.9" not in parameters


def test_its_logits_are_those_of_plain_transformers(real_model: Model, real_folder: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(real_folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(real_folder)
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt").input_ids
        assert ids.tolist() == [real_model.tokenizer(text)["input_ids"]]
        mask = torch.ones_like(ids)
        ours = real_model.logits(ids, mask, torch.arange(ids.shape[1])[None], keep=ids.shape[1])
        theirs = plain(ids).logits
        # The same operations, though not always in the same order: float32's own rounding.
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_digits_and_runs_of_blanks_are_cut_as_they_were_trained(real_model: Model) -> None:
    cut = real_model.tokenizer.tokenize("  12 and   345\n\n67 in 1999")
    assert cut == ["ĠĠ", "1", "2", "Ġand", "ĠĠĠ", "3", "4", "5", "ĊĊ", "6", "7", "Ġin", "Ġ",
                   "1", "9", "9", "9"]  # fmt: skip


def test_it_answers_what_such_a_model_knows(real_model: Model) -> None:
    ids = real_model.tokenizer(TEXTS[0], return_tensors="pt").input_ids
    logits = real_model.logits(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])
    assert real_model.tokenizer.decode(logits[0, -1].argmax()) == " Africa"
    turns = [{"role": "user", "content": "Hello"}]
    asked = real_model.tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    assert asked.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
