import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.core.models import prefix
from worker.core.models.prefix import in_order, logits_sharing, shared_length
from worker.core.models.tokens import pad

BEGINNING = list(range(5, 25))


def rows(n, lengths=(3, 1, 6)):
    return [
        BEGINNING + [30 + (7 * i + j) % 15 for j in range(lengths[i % len(lengths)])]
        for i in range(n)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_with_a_shared_beginning_give_the_logits_of_whole_rows(family, monkeypatch):
    monkeypatch.setattr(prefix, "LEAST_SAVED", 8)
    model = make_model(family)
    batch = pad(model, rows(5))
    seen = []
    with torch.no_grad():
        whole = model.logits(batch.ids, batch.mask, batch.position_ids, 1)
        hook = model.hf.register_forward_pre_hook(
            lambda m, a, k: seen.append(tuple(k["input_ids"].shape)), with_kwargs=True
        )
        shared = logits_sharing(model, batch.ids, batch.mask, batch.position_ids, 1)
        hook.remove()
    n = len(BEGINNING)
    window = getattr(model.hf.config.get_text_config(), "sliding_window", None)
    if window and window <= batch.ids.shape[1]:
        assert seen == [(5, n + 6)]
    else:
        assert seen == [(1, n), (5, 6)]
    assert torch.allclose(shared, whole, atol=1e-4)


def test_gradients_through_a_shared_beginning_are_those_of_whole_rows(monkeypatch):
    monkeypatch.setattr(prefix, "LEAST_SAVED", 8)
    model = make_model("llama")
    batch = pad(model, rows(4))
    weight = model.blocks[0].mlp.down_proj.weight.requires_grad_(True)
    found = []
    try:
        for run in (model.logits, lambda *asked: logits_sharing(model, *asked)):
            loss = run(batch.ids, batch.mask, batch.position_ids, 1).logsumexp(-1).sum()
            found.append(torch.autograd.grad(loss, weight)[0])
    finally:  # the tiny models are shared by all tests
        weight.requires_grad_(False)
    assert found[0].abs().max() > 0
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_what_is_asked_for_and_the_last_token_of_a_row_are_never_shared(monkeypatch):
    monkeypatch.setattr(prefix, "LEAST_SAVED", 1)
    model = make_model("gpt2")
    batch = pad(model, [BEGINNING, BEGINNING, [*BEGINNING, 3, 4]])
    assert shared_length(model, batch.ids, batch.mask, 1) == len(BEGINNING) - 1
    assert shared_length(model, batch.ids, batch.mask, 6) == len(BEGINNING) - 4


def test_few_tokens_are_not_worth_a_second_forward():
    model = make_model("gpt2")
    batch = pad(model, rows(3))
    assert shared_length(model, batch.ids, batch.mask, 1) == 0


def test_a_wide_model_shares_what_a_narrow_one_computes_twice(monkeypatch):
    model = make_model("gpt2")
    few, fewer = pad(model, rows(3)), pad(model, [[*BEGINNING[:6], 30], [*BEGINNING[:6], 31]])
    monkeypatch.setattr(prefix, "AT_WIDTH", model.d_model // 8)
    assert shared_length(model, few.ids, few.mask, 1) == len(BEGINNING)
    assert shared_length(model, fewer.ids, fewer.mask, 1) == 0, "weights are read twice"


def test_rows_of_one_beginning_stand_together_from_short_to_long():
    others = [[i, i + 1] for i in range(30, 33)]
    order = in_order([*others, *rows(9)])
    assert order == [[4, 7, 10, 3, 6, 9, 5, 8, 11], [0, 1, 2]]
