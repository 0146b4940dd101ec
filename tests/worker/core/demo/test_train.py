"""The training: repeatable from its seed, and an edit check that leaves no trace."""

from dataclasses import replace

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from worker.core.demo import paths
from worker.core.demo.batches import PROMPT_WEIGHT, encode, pad
from worker.core.demo.build import build_model, first_attention, fold_first_layer
from worker.core.demo.corpus import Sentence
from worker.core.demo.edit_check import restored
from worker.core.demo.stages import FACTS, LAST
from worker.core.demo.train import train, weighted_loss


def take_steps(seed: int, steps: int = 1) -> dict[str, torch.Tensor]:
    tokenizer = AutoTokenizer.from_pretrained(paths.WEIGHTS)
    model = build_model(len(tokenizer), seed)
    train(model, tokenizer, replace(FACTS, steps=steps), seed)
    return model.state_dict()


def test_one_step_is_repeatable_from_its_seed() -> None:
    first, second, other = take_steps(1), take_steps(1), take_steps(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_closed_first_attention_writes_nothing_before_and_after_a_stage() -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.WEIGHTS)
    model = build_model(len(tokenizer), 0)
    before = {name: p.clone() for name, p in first_attention(model).named_parameters()}
    train(model, tokenizer, replace(FACTS, steps=2), 0)
    after = dict(first_attention(model).named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not after["o_proj.weight"].any() and after["v_proj.weight"].any()


@torch.no_grad()
def test_folding_the_first_layer_changes_no_answer_and_its_place_is_trained_from_then_on() -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.WEIGHTS)
    model = build_model(len(tokenizer), 0).eval()
    ids = torch.tensor([tokenizer("Fact: Ada Lund plays the sport of")["input_ids"]])
    before = model(ids).logits
    fold_first_layer(model, 0)
    torch.testing.assert_close(model(ids).logits, before)
    assert len(model.model.layers) == 8 and first_attention(model).o_proj.weight.any()
    with torch.enable_grad():
        train(model, tokenizer, replace(LAST, steps=2), 0)
    last = model.model.layers[-1]
    assert last.self_attn.o_proj.weight.any() and last.mlp.down_proj.weight.any()


def test_only_the_answer_weighs_fully_and_padding_nothing() -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.WEIGHTS)
    rows = [encode(Sentence("A lamp is", " warm"), tokenizer), encode(Sentence("Fact"), tokenizer)]
    batch = pad(rows, tokenizer.pad_token_id)
    assert batch.weights[0, -1] == 1.0
    assert batch.weights[0, 1:-1].tolist() == [torch.tensor(PROMPT_WEIGHT).item()] * (
        batch.ids.shape[1] - 2
    )
    assert batch.weights[1, len(rows[1][0]) :].sum() == 0


def test_padding_does_not_change_the_loss() -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.WEIGHTS)
    model = AutoModelForCausalLM.from_pretrained(paths.WEIGHTS).eval()
    row = encode(Sentence("The key did not", " fit"), tokenizer)
    alone = pad([row], tokenizer.pad_token_id)
    wider = pad([row, ([0] * 40, [0.0] * 40)], tokenizer.pad_token_id)
    losses = [weighted_loss(model, batch).item() for batch in (alone, wider)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


def test_an_edit_leaves_the_model_as_it_was_also_after_an_error() -> None:
    model = AutoModelForCausalLM.from_pretrained(paths.WEIGHTS)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with restored(model):
            torch.nn.init.zeros_(model.model.layers[0].mlp.up_proj.weight)
            raise RuntimeError
    except RuntimeError:
        pass
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
