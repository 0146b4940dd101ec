import weakref

import pytest
import torch

from tests.worker.core.asking.next_logits import next_logits
from tests.worker.core.models.families import FAMILIES, make_model
from worker.core.asking import ask
from worker.core.asking.scoring import next_batches, score_answers
from worker.core.asking.setting import Ask
from worker.core.models.tokens import answer_ids, encode, pad

ITEMS = [("Ann plays", " golf"), ("So Bob Lee is at", " rugby"), ("Cy", " go")]


def one_by_one(model, prompt, answer):
    ids = list(encode(model, prompt, None).ids)
    total, first, rank = 0.0, None, None
    for token in answer_ids(model, prompt, answer):
        with torch.no_grad():
            log_probs = model.hf(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
        if first is None:
            first, rank = float(log_probs[token]), int((log_probs > log_probs[token]).sum())
        total += float(log_probs[token])
        ids.append(token)
    return total, first, rank


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_of_any_length_score_together_as_they_do_alone(family):
    model = make_model(family)
    scores = score_answers(model, ITEMS)
    for i, item in enumerate(ITEMS):
        total, first, rank = one_by_one(model, *item)
        assert float(scores.log_prob[i]) == pytest.approx(total, abs=1e-4)
        assert float(scores.first_log_prob[i]) == pytest.approx(first, abs=1e-4)
        assert int(scores.rank[i]) == rank
    assert scores.n_tokens.tolist() == [1, 6, 1]


def test_a_prompt_asked_for_several_short_answers_runs_once(monkeypatch):
    model, rows = make_model("llama"), []
    logits = model.logits
    monkeypatch.setattr(
        model, "logits", lambda ids, *rest: rows.append(len(ids)) or logits(ids, *rest)
    )
    items = [(prompt, answer) for prompt, _ in ITEMS for answer in (" golf", " go", " rugby")]
    scores = score_answers(model, items)
    n_rows = {(prompt, tuple(answer_ids(model, prompt, a)[:-1])) for prompt, a in items}
    assert sum(rows) == len(n_rows) < len(items)
    for i, item in enumerate(items):
        assert float(scores.log_prob[i]) == pytest.approx(one_by_one(model, *item)[0], abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_left_and_right_padding_give_the_same_logits(family):
    model = make_model(family)
    prompts = [encode(model, prompt, None) for prompt, _ in ITEMS]
    together = next_logits(model, [prompt for prompt, _ in ITEMS])
    right = pad(model, prompts, "right")
    with torch.no_grad():
        logits = model.logits(right.ids, right.mask, right.position_ids, keep=right.ids.shape[1])
    for i, prompt in enumerate(prompts):
        assert torch.allclose(logits[i, len(prompt.ids) - 1], together[i], atol=1e-4)


def test_the_first_of_the_top_five_is_the_models_choice():
    model = make_model("gpt2")
    scores = score_answers(model, ITEMS)
    assert (
        scores.top5[:, 0].tolist() == next_logits(model, [p for p, _ in ITEMS]).argmax(-1).tolist()
    )


def test_of_many_prompts_the_logits_of_no_more_than_a_batch_are_held(monkeypatch):
    model, held, most = make_model("llama"), [], []

    def noting(*given):
        for chosen, logits in next_batches(*given):
            most.append(len(chosen))
            assert sum(one() is not None for one in held) <= 1, "but the one before"
            held.append(weakref.ref(logits))
            yield chosen, logits

    monkeypatch.setattr(ask, "next_batches", noting)
    asks = [
        Ask(f"{name} plays{' so' * n}", " golf", " go")
        for n in range(4)
        for name in ["Ann", "Bob", "Cy"]
    ]
    heard = ask.listen(model, asks, batch_size=3)
    assert max(most) == 3 and len(most) >= 4
    alone = [ask.listen(model, [one])[0] for one in asks]
    assert [one.rank for one in heard] == [one.rank for one in alone]
    assert [one.target for one in heard] == pytest.approx([one.target for one in alone], rel=1e-4)
