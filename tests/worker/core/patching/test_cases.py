"""Which facts can be traced: their tokens and probabilities, and why the others cannot."""

import pytest
import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.patching.cases import Prepared, answer_probabilities, prepare, require_cases

MODEL = make_planted()
A = FACTS[0]


def alone(fact: Fact) -> float:
    """The probability of the answer's one token, the prompt run by itself, without padding."""
    ids = MODEL.tokenizer(fact.text)["input_ids"]
    with torch.no_grad():
        logits = MODEL.hf(torch.tensor([ids])).logits[0, -1]
    word = MODEL.tokenizer.convert_tokens_to_ids(f"Ġ{fact.target}")
    return float(logits.float().softmax(-1)[word])


def test_a_case_has_the_answers_and_the_foils_tokens_and_the_subjects_place() -> None:
    (case,) = prepare(MODEL, [A], 0.0, True).cases
    vocab = MODEL.tokenizer.get_vocab()
    assert (case.answer, case.foil) == (vocab["Ġball"], vocab["Ġgolf"])
    assert case.fact == A
    assert list(case.prompt.ids) == [0, *(vocab[c] for c in ("x", "A", *"Ġis", *"Ġat"))]
    assert (case.prompt.subject, case.length) == ((1, 3), 9)
    assert prepare(MODEL, [A], 0.0, False).cases[0].foil is None


def test_probabilities_are_those_of_each_prompt_alone_whatever_its_length() -> None:
    facts = [A.model_copy(update={"id": s, "subject": s}) for s in ("zzzzA", "A", "xA", "yyyyyyyB")]
    cases = prepare(MODEL, facts, 0.0, False).cases
    expected = [alone(fact) for fact in facts]
    assert len({round(p, 3) for p in expected}) > 1
    assert answer_probabilities(MODEL, cases).tolist() == pytest.approx(expected, abs=1e-5)
    assert [case.probability for case in cases] == pytest.approx(expected, abs=1e-5)
    assert answer_probabilities(MODEL, []).tolist() == []


def test_a_fact_that_the_model_gives_less_than_the_bound_is_left_out_with_the_number() -> None:
    wrong = A.model_copy(update={"id": "wrong", "target": "go"})
    known = prepare(MODEL, [A], 0.0, True).cases[0].probability
    just = prepare(MODEL, [A, wrong], known, True)
    assert [case.fact.id for case in just.cases] == [A.id], "what reaches the bound stays"
    (out,) = just.left_out
    assert out.id == "wrong"
    assert f"gives 'go' after 'xA is at' the probability {alone(wrong):.3f}" in out.reason
    assert f"at least {known:g}" in out.reason and "Lower min_probability" in out.reason
    with pytest.raises(UserError, match=r"None of the 1 facts can be traced\. wrong: The model"):
        prepare(MODEL, [wrong], known, True)
    assert prepare(MODEL, [wrong], known, True, required=False).cases == []


def test_a_logit_difference_wants_a_foil_that_begins_otherwise() -> None:
    bare = A.model_copy(update={"id": "bare", "edit_target": " "})
    same = A.model_copy(update={"id": "same", "edit_target": "ball"})
    found = prepare(MODEL, [bare, A, same], 0.0, True)
    assert [case.fact.id for case in found.cases] == [A.id]
    reasons = {out.id: out.reason for out in found.left_out}
    assert "'bare' has no edit target" in reasons["bare"]
    assert "'ball' and the foil 'ball' begin with the same token" in reasons["same"]
    assert len(prepare(MODEL, [bare, same], 0.0, False).cases) == 2


def test_a_subject_merged_with_its_neighbours_is_left_out_and_the_others_are_traced() -> None:
    model = make_model("gpt2")
    fact = Fact(id="a", subject="ball", prompt="the {} is", target="go")
    odd = Fact(id="b", subject="bal", prompt="the {}l is", target="go")
    found = prepare(model, [odd, fact], 0.0, False)
    assert [case.fact.id for case in found.cases] == ["a"]
    assert [out.id for out in found.left_out] == ["b"]


def test_no_case_is_an_error_with_the_first_three_reasons() -> None:
    prepared = Prepared()
    for i in range(4):
        prepared.leave_out(A.model_copy(update={"id": f"n{i}"}), f"why {i}.")
    with pytest.raises(
        UserError, match=r"4 facts .* n0: why 0\. n1: why 1\. n2: why 2\.$"
    ) as raised:
        require_cases(prepared)
    assert [field for field, _ in raised.value.problems] == ["facts.forget"]
