"""What methods that compare clean with corrupted prompts share."""

import pytest

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization.causal_tracing import Options as Tracing
from worker.core.localization.eap import Options as Edges
from worker.core.patching.change import Change
from worker.core.patching.comparison import Comparison, ComparisonOptions


def compare() -> Comparison:
    job = Job(seed=0, report=Quiet(), pool=tuple(FACTS))
    return Comparison(make_planted(), FACTS[:4], ComparisonOptions(), job)


def test_a_methods_own_options_stand_before_the_shared_ones():
    assert list(Edges.model_json_schema()["properties"])[:2] == ["direction", "metric"]
    assert list(Tracing.model_json_schema()["properties"])[:2] == ["sites", "metric"]
    assert set(Tracing.model_json_schema()["properties"]) == set(Tracing.model_fields)


def test_a_fact_that_nothing_changes_is_left_out_once_with_the_reason():
    facing = compare()
    first, *others = facing.items
    for _ in range(2):  # a batch that ran out of memory is measured again in halves
        assert facing.keep(first, Change(20.0, 20.0 + 1e-6, 1e-5)) is None
        for item in others:
            facing.keep(item, Change(20.0, 20.0 - 1e-4, 1e-5))
    assert [out.id for out in facing.prepared.left_out] == [first.case.fact.id]
    assert "Choose another corruption or metric" in facing.prepared.left_out[0].reason
    assert [one.case.fact.id for one in facing.settle()] == [
        fact.id for fact in FACTS[:4] if fact.id != first.case.fact.id
    ]


def test_no_measured_fact_is_an_error_with_the_reasons():
    facing = compare()
    for item in facing.items:
        facing.keep(item, Change(0.2, 0.2, 0.0))
    with pytest.raises(UserError, match="None of the 4 facts can be traced"):
        facing.settle()


def test_a_fact_whose_metric_the_corruption_raises_is_left_out_with_both_values_or_kept():
    raised = Change(clean=0.12, corrupted=0.34, rounding=1e-5)
    facing = compare()
    first, *others = facing.items
    assert facing.keep(first, raised) is None and facing.keep(first, raised) is None
    assert all(facing.keep(item, Change(0.9, 0.1, 1e-5)) for item in others)
    (out,) = facing.prepared.left_out
    assert out.id == first.case.fact.id
    assert "0.12 for" in out.reason and "0.34 with its subject corrupted" in out.reason
    kept = compare()
    kept.options = ComparisonOptions(keep_raised=True)
    assert kept.keep(first, raised) is not None
    almost = Change(clean=0.12, corrupted=0.12 + 1e-6, rounding=1e-5)
    assert almost.is_none and not almost.is_raised
