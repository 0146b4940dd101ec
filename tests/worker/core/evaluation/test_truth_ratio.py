"""The truth ratio, computed by hand, and what an edit does to it."""

import numpy as np
import pytest

from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.scoring import score_answers
from worker.core.evaluation import truth_ratio
from worker.core.findings import Job

JOB = Job(seed=0, report=Quiet())
SPORTS = ("tennis", "rowing", "chess", "golf")


def with_options(fact, **more):
    wrong = tuple(sport for sport in SPORTS if sport != fact.target)
    return fact.model_copy(update={"options": wrong, **more})


def test_ratio_share_and_choice_are_those_of_the_scores(model, facts) -> None:
    fact = with_options(facts[0], aliases=("rowing on lakes",))
    selection = Selection(forget=(fact,), retain=())
    found = truth_ratio.evaluate(BeforeAfter(model), selection, truth_ratio.Options(), JOB)
    answers = (fact.target, "rowing on lakes", *fact.options)
    scores = score_answers(model, [(fact.text, fact.follows(a)) for a in answers])
    whole = scores.log_prob.exp().double().numpy()
    per_token = (scores.log_prob / scores.n_tokens).exp().double().numpy()
    summary = found.summary
    expected = per_token[2:].mean() / per_token[1]
    assert summary["truth_ratio.forget.ratio.before"] == pytest.approx(expected, rel=1e-4)
    share = whole[0] / (whole[0] + whole[2:].sum())
    assert summary["truth_ratio.forget.share.before"] == pytest.approx(share, rel=1e-4)
    chosen = float(per_token[0] >= per_token[2:].max())
    assert summary["truth_ratio.forget.chosen.before"] == chosen
    assert "truth_ratio.forget.moved" not in summary


def test_an_edit_makes_wrong_answers_likelier_and_leaves_the_rest(edited, facts) -> None:
    asked = tuple(map(with_options, facts))
    selection = Selection(forget=asked[:2], retain=(*asked[2:], facts[0].model_copy(
        update={"id": "bare", "subject": "Nobody Known"})))  # fmt: skip
    found = truth_ratio.evaluate(edited, selection, truth_ratio.Options(), JOB)
    summary = found.summary
    assert summary["truth_ratio.forget.chosen.before"] == 1.0
    assert summary["truth_ratio.forget.chosen.after"] == 0.0
    before, after = (summary[f"truth_ratio.forget.ratio.{s}"] for s in ("before", "after"))
    assert before < 1 < after
    assert summary["truth_ratio.retain.chosen.after"] > 0.7
    assert 0 < summary["truth_ratio.forget.moved"] < 1
    directions = {one.name: one.better for one in found.evaluation.aggregates}
    assert directions["truth_ratio.forget.chosen"] == "lower"
    assert directions["truth_ratio.retain.chosen"] == "higher"
    assert found.evaluation.facts.rows[0][2] == "forget"


def test_facts_without_wrong_answers_are_named_or_refused(model, facts) -> None:
    mixed = Selection(forget=(with_options(facts[0]), facts[1]), retain=())
    found = truth_ratio.evaluate(BeforeAfter(model), mixed, truth_ratio.Options(), JOB)
    assert [left.id for left in found.left_out] == [facts[1].id]
    with pytest.raises(UserError, match="No forget fact has wrong answers"):
        bare = Selection(forget=facts[:2], retain=())
        truth_ratio.evaluate(BeforeAfter(model), bare, truth_ratio.Options(), JOB)


def test_a_distribution_that_moved_is_told_from_one_that_did_not() -> None:
    draw = np.random.default_rng(0)
    one, same, other = draw.normal(0, 1, 60), draw.normal(0, 1, 60), draw.normal(2, 1, 60)
    assert truth_ratio.moved(one, same) > 0.05 > 1e-6 > truth_ratio.moved(one, other)
