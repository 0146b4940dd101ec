"""What methods that compare clean with corrupted prompts share."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.errors import UserError
from worker.contract.progress import Event, Quiet
from worker.core.findings import Job
from worker.core.localization.causal_tracing import Options as Tracing
from worker.core.localization.eap import Options as Edges
from worker.core.patching import comparison as _comparison
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


BOUNDS = {
    # name: (default, lowest, highest, something below, something above)
    "samples": (1, 1, 100, 0, 101),
    "noise_level": (3.0, 1e-9, 100, 0, 100.5),
    "min_probability": (0.1, 0, 0.999, -0.01, 1),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_has_its_default_and_is_taken_up_to_its_bounds_alone(name: str) -> None:
    default, lowest, highest, below, above = BOUNDS[name]
    assert getattr(ComparisonOptions(), name) == default
    for value in (lowest, highest):
        assert getattr(ComparisonOptions.model_validate({name: value}), name) == value
    for value in (below, above):
        with pytest.raises(ValidationError, match=name):
            ComparisonOptions.model_validate({name: value})


def test_the_answer_is_compared_with_the_edit_target_and_the_subject_with_another() -> None:
    options = ComparisonOptions()
    assert (options.metric, options.corruption) == ("logit_diff", "other_subject")
    assert options.keep_raised is False
    with pytest.raises(ValidationError):
        ComparisonOptions.model_validate({"metric": "rank"})


def comparing(facts: Any, events: list[Event] | None = None, **options: Any) -> Comparison:
    job = Job(seed=0, report=Quiet(None if events is None else events.append), pool=tuple(FACTS))
    also = {name: options.pop(name) for name in ("or_random",) if name in options}
    asked = ComparisonOptions(**({"min_probability": 0.0} | options))
    return Comparison(make_planted(), facts, asked, job, **also)


def test_facts_are_measured_from_the_shortest_prompt_on_so_many_at_a_time() -> None:
    facts = [
        FACTS[i].model_copy(update={"id": str(n), "subject": n * "x" + FACTS[i].subject[-1]})
        for i, n in enumerate((3, 1, 4, 2))
    ]
    facing, batches = comparing(facts, corruption="random_tokens"), []
    facing.run("a kind of its own", 3, batches.append)
    assert [[item.case.fact.id for item in batch] for batch in batches] == [["1", "2", "3"], ["4"]]


def test_a_foil_is_needed_where_the_answer_is_compared_with_it_alone() -> None:
    facts = [FACTS[0].model_copy(update={"edit_target": ""}), FACTS[1]]
    assert [i.case.fact.id for i in comparing(facts).items] == [FACTS[1].id]
    assert len(comparing(facts, metric="probability").items) == 2
    with pytest.raises(UserError, match=r"expected at least 0\.999999"):
        comparing(facts, metric="probability", min_probability=0.999999)


def test_random_tokens_stand_in_for_another_subject_where_they_may() -> None:
    longer = FACTS[0].model_copy(update={"subject": "xyzA"})
    (item,) = comparing([longer], samples=3).items
    assert (item.how, len(item.embeds)) == ("random_tokens", 3)
    with pytest.raises(UserError, match="No other subject has 4 tokens"):
        comparing([longer], or_random=False)


def test_progress_counts_measured_and_left_out_facts_and_part_of_a_batch() -> None:
    events: list[Event] = []
    facing = comparing(FACTS[:4], events)
    facing.keep(facing.items[0], Change(0.9, 0.1, 0.0))
    facing.keep(facing.items[1], Change(0.5, 0.5, 0.0))
    facing.tell()
    facing.tell(0.5)
    facing.tell(7.0)
    assert [event.fraction for event in events] == [0.0, 0.5, 0.625, 1.0]
    assert events[0].message == "asking the model for the facts"
    assert events[-1].message == "1 of 4 facts measured"


def test_findings_are_of_what_was_measured_in_the_metrics_unit_or_the_one_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(_comparison, "build_findings", lambda *a, **k: built.append((a, k)))
    facing = comparing(FACTS[:3])
    kept = [facing.keep(item, Change(0.9, 0.1, 0.0)) for item in facing.items]
    facing.operations = 7
    weights: Any = object()
    facing.findings("eap", "higher")
    facing.findings("eap", "higher", "share", weights)
    model, traced, prepared = built[0][0]
    assert (model, prepared) == (facing.model, facing.prepared) and traced == kept
    assert [one.clean for one in traced] == [0.9] * 3 and [o.corrupted for o in traced] == [0.1] * 3
    assert built[0][1] == {
        "method": "eap", "metric": "logit_diff", "unit": "Δ logit difference",
        "direction": "higher", "operations": 7, "weights": None,
    }  # fmt: skip
    assert (built[1][1]["unit"], built[1][1]["weights"]) == ("share", weights)
