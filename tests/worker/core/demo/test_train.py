"""The training: repeatable from its seed, and an edit check that leaves no trace."""

from dataclasses import replace

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from worker.core.demo import paths
from worker.core.demo.batches import PROMPT_WEIGHT, encode, pad
from worker.core.demo.corpus import Sentence
from worker.core.demo.edit_check import restored
from worker.core.demo.train import FACTS, build_model, train, weighted_loss


def take_steps(seed: int, steps: int = 1) -> dict[str, torch.Tensor]:
    tokenizer = AutoTokenizer.from_pretrained(paths.WEIGHTS)
    model = build_model(len(tokenizer), seed)
    train(model, tokenizer, replace(FACTS, steps=steps), seed)
    return model.state_dict()


def test_one_step_is_repeatable_from_its_seed() -> None:
    first, second, other = take_steps(1), take_steps(1), take_steps(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


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
