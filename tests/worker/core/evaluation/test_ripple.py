"""Ripple: hand-computed preferences, and what is said where nothing can be asked."""

from string import ascii_lowercase

import numpy as np
import pytest

from worker.contract.errors import UserError
from worker.contract.facts import Ripple
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.scoring import score_answers
from worker.core.evaluation import ripple
from worker.core.findings import Job

JOB = Job(seed=0, report=Quiet())


def with_ripples(fact):
    entailed = Ripple(kind="entailed", prompt=fact.text, target=fact.target,
                      edit_target=fact.edit_target)  # fmt: skip
    back = Ripple(kind="reversed", prompt=f"A player of {fact.target} is", target=fact.subject,
                  edit_prompt=f"A player of {fact.edit_target} is")  # fmt: skip
    return fact.model_copy(update={"ripples": (entailed, back)})


def test_what_follows_moves_with_the_edit_and_siblings_stay(edited, facts) -> None:
    selection = Selection(forget=tuple(map(with_ripples, facts[:2])), retain=facts[2:])
    found = ripple.evaluate(edited, selection, ripple.Options(), JOB)
    summary = found.summary
    # What is entailed is asked in the fact's own words here, so the edit must carry over whole.
    assert summary["ripple.entailed.target_preferred.before"] == 1.0
    assert summary["ripple.entailed.target_preferred.after"] == 0.0
    assert summary["ripple.siblings.same_relation.kept.before"] > 0.8
    beside = found.evaluation.tables["prompts"].rows
    assert len(beside) == 4 + len(divide(selection.retain).tested)
    assert [left.id for left in found.left_out] == ["kept"]
    assert "ripple.siblings.same_subject.kept.before" not in summary


def test_asking_backwards_compares_likelihoods_per_token(model, facts) -> None:
    fact = with_ripples(facts[0])
    selection = Selection(forget=(fact,), retain=facts[1:])
    found = ripple.evaluate(BeforeAfter(model), selection, ripple.Options(), JOB)
    prompts = [(fact.ripples[1].prompt, f" {fact.subject}"),
               (fact.ripples[1].edit_prompt, f" {fact.subject}")]  # fmt: skip
    scores = score_answers(model, prompts)
    per_token = (scores.log_prob / scores.n_tokens).numpy()
    expected = float(np.subtract(*per_token))
    assert found.summary["ripple.reversed.difference.before"] == pytest.approx(expected, rel=1e-4)


def test_what_the_set_has_not_is_said(model, facts) -> None:
    same = [facts[0].model_copy(update={"id": n, "subject": n}) for n in ascii_lowercase]
    selection = Selection(forget=facts[:1], retain=(*facts[1:], *same))
    found = ripple.evaluate(BeforeAfter(model), selection, ripple.Options(), JOB)
    assert [left.id for left in found.left_out] == ["entailed", "reversed", "kept"]
    lonely = Selection(forget=facts[:1], retain=())
    with pytest.raises(UserError, match="no retain fact"):
        ripple.evaluate(BeforeAfter(model), lonely, ripple.Options(), JOB)


def test_what_a_benchmark_brings_is_asked_in_its_likeliest_wording(model, facts) -> None:
    """A prompt whose old answer is not known, and one beside the fact with two wordings."""
    first, second = facts[0], facts[5]
    follows = Ripple(kind="entailed", prompt=second.text, edit_target=second.target)
    beside = Ripple(kind="kept", prompt=second.text, target="zebra", aliases=(second.target,))
    plain = Ripple(kind="kept", prompt=second.text, target="zebra")
    asked = first.model_copy(update={"ripples": (follows, beside, plain)})
    selection = Selection(forget=(asked,), retain=())
    found = ripple.evaluate(BeforeAfter(model), selection, ripple.Options(), JOB)
    scores = score_answers(model, [(second.text, f" {a}") for a in (second.target, "zebra")])
    right, odd = scores.log_prob.exp().tolist()
    summary = found.summary
    assert summary["ripple.entailed.edit_probability.before"] == pytest.approx(right, rel=1e-4)
    assert summary["ripple.entailed.edit_said.before"] == float(scores.rank[0] == 0)
    assert "ripple.entailed.target_preferred.before" not in summary
    assert summary["ripple.kept.probability.before"] == pytest.approx(
        (max(right, odd) + odd) / 2, rel=1e-4
    )
    rows = [row for row in found.evaluation.tables["prompts"].rows if row[0] == "entailed"]
    assert rows == [("entailed", second.text, "", second.target, None)]


def test_others_of_which_the_edit_target_is_true_must_keep_it(model, facts) -> None:
    beside = next(f for f in facts if f.target == facts[0].edit_target)
    asked = facts[0].model_copy(update={"edit_neighbourhood": (beside.text,)})
    found = ripple.evaluate(
        BeforeAfter(model), Selection(forget=(asked,), retain=()), ripple.Options(), JOB
    )
    scores = score_answers(model, [(beside.text, f" {beside.target}")])
    expected = scores.log_prob.exp().item()
    assert found.summary["ripple.kept.probability.before"] == pytest.approx(expected, rel=1e-4)


def test_no_fact_is_asked_more_prompts_than_wanted(model, facts) -> None:
    many = tuple(Ripple(kind="kept", prompt=f.text, target=f.target) for f in facts)
    asked = facts[0].model_copy(update={"ripples": many})
    selection = Selection(forget=(asked, facts[1].model_copy(update={"ripples": many[:1]})),
                          retain=())  # fmt: skip
    found = ripple.evaluate(BeforeAfter(model), selection, ripple.Options(per_fact=3), JOB)
    assert len(found.evaluation.tables["prompts"].rows) == 4
