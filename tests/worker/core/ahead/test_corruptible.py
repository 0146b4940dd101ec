import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.progress import Quiet
from worker.core.ahead.corruptible import look_ahead
from worker.core.findings import Job
from worker.core.localization import activation_patching
from worker.core.localization.activation_patching import Options as Patching
from worker.core.localization.causal_tracing import Options as Tracing
from worker.core.localization.logit_lens import Options as Lens
from worker.core.patching.cases import prepare


def look(model, facts, options, method, pool=()):
    prepared = prepare(model, facts, 0.0, True)
    look_ahead(model, prepared, options, method=method, seed=0, pool=tuple(pool or facts))
    return prepared


def test_a_fact_without_a_corrupted_prompt_of_its_length_is_said_ahead():
    options = Tracing(corruption="other_subject")
    prepared = look(make_planted(), FACTS[:1], options, "causal_tracing")
    assert "would differ in length" in prepared.left_out[0].reason
    assert "Choose the corruption random_tokens" in prepared.left_out[0].reason
    stands_in = look(make_planted(), FACTS[:1], Patching(), "activation_patching")
    assert not stands_in.left_out and FACTS[0].id in stands_in.instead


def test_a_metric_that_the_corruption_does_not_change_is_said_ahead():
    model = make_model.__wrapped__("llama")  # not the shared one: its weights are changed
    with torch.no_grad():
        model.hf.lm_head.weight.zero_()
    prepared = look(model, FACTS[:2], Patching(corruption="random_tokens"), "activation_patching")
    assert [out.id for out in prepared.left_out] == [fact.id for fact in FACTS[:2]]
    assert "Choose another corruption or metric" in prepared.left_out[0].reason
    assert prepared.cases == []


def test_nothing_is_said_of_methods_that_corrupt_nothing_nor_of_good_facts():
    assert not look(make_planted(), FACTS[:4], Lens(), "logit_lens").left_out
    found = look(make_planted(), FACTS[:4], Patching(), "activation_patching")
    assert not found.left_out and len(found.cases) == 4


def test_what_a_single_draw_raises_is_said_ahead_and_the_run_agrees():
    model, facts = make_model("llama"), FACTS
    asked = {"corruption": "random_tokens", "min_probability": 0.0}
    ahead = {
        out.id for out in look(model, facts, Patching(**asked), "activation_patching").left_out
    }
    found = activation_patching.localize(
        model, facts, Patching(**asked), Job(0, Quiet(), pool=tuple(facts))
    )
    assert ahead and ahead == {out.id for out in found.left_out}
    kept = look(model, facts, Patching(keep_raised=True, **asked), "activation_patching")
    assert not kept.left_out


def test_subject_tokens_that_the_corrupted_prompt_has_too_are_named():
    prepared = look(make_planted(), FACTS[:4], Patching(), "activation_patching")
    assert prepared.unreached
    for reason in prepared.unreached.values():
        assert "so nothing is corrupted there" in reason
    random = look(
        make_planted(), FACTS[:4], Patching(corruption="random_tokens"), "activation_patching"
    )
    assert not random.unreached, "random tokens are never the subject's own"
