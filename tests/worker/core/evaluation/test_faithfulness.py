import dataclasses

import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation.faithfulness import Options, evaluate
from worker.core.findings import Job

JOB = Job(0, Quiet(), tuple(FACTS), mask=Mask(components=(STORE, CARRY)))


def ask(job=JOB, facts=FACTS[:8], **options):
    selection = Selection(forget=tuple(facts), retain=())
    return evaluate(BeforeAfter(make_planted()), selection, Options(draws=3, **options), job)


@pytest.fixture(scope="module")
def found():
    return ask(dataclasses.replace(JOB, scores={STORE: 2.0, CARRY: 1.0, "blocks.0.mlp": 0.01}))


def test_the_planted_circuit_carries_the_facts_and_random_ones_do_not(found):
    numbers = found.summary
    assert numbers["faithfulness.mask.only.before"] == pytest.approx(1, abs=0.1)
    assert numbers["faithfulness.mask.without.before"] == pytest.approx(0, abs=0.1)
    assert numbers["faithfulness.random.only.before"] < 0.5
    assert numbers["faithfulness.cpr.before"] > numbers["faithfulness.random.cpr.before"]
    assert numbers["faithfulness.cmd.before"] < numbers["faithfulness.random.cmd.before"]
    assert "alone bring back" in found.caption


def test_curves_begin_with_nothing_and_end_with_everything(found):
    only, without = (found.arrays[f"faithfulness.{mode}"] for mode in ("only", "without"))
    lines, places = (axis.labels for axis in only.axes)
    assert lines == ("ranked", "low", "high", "random 0", "random 1", "random 2")
    assert [float(places[0]), float(places[-1])] == [0, 1]
    np.testing.assert_allclose(only.values[:, 0], 0, atol=1e-5)
    np.testing.assert_allclose(only.values[:, -1], 1, atol=1e-5)
    np.testing.assert_allclose(without.values[:, 0], 1, atol=1e-5)
    np.testing.assert_allclose(without.values[:, -1], 0, atol=1e-5)
    assert (only.values[1] <= only.values[0] + 1e-9).all()


def test_a_mask_without_scores_is_ranked_with_its_members_first():
    only = ask().arrays["faithfulness.only"]
    at = only.axes[1].labels
    after_two = next(i for i, place in enumerate(at) if i and only.values[0, i] > 0.9)
    assert float(at[after_two]) < 0.2


def test_facts_that_cannot_count_are_listed_with_their_reasons():
    same = FACTS[0].model_copy(update={"id": "same", "edit_target": FACTS[0].target})
    found = ask(facts=[*FACTS[:3], same])
    assert [out.id for out in found.left_out] == ["same"]
    assert "begin with the same token" in found.left_out[0].reason


def test_a_spec_without_a_mask_is_refused():
    with pytest.raises(UserError, match="names none"):
        ask(Job(0, Quiet(), tuple(FACTS)))
