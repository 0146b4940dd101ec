"""From a study's children to its numbers."""

import numpy as np
import pytest

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY, Lab, study
from worker.contract.spec import EvaluateSpec, Spec, StudySpec
from worker.engine.study.outcome import Cell, Child
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import collect, metric_names, reduce_study


def test_the_table_gives_means_intervals_and_paired_differences() -> None:
    spec = study()
    found, arrays = reduce_study(spec, conduct(spec, Lab(), PARAMETERS), 1.0)
    assert arrays["study.values"].shape == (3, 1, 3)
    assert found.summary["study.lookup.ft.choice.after"] == pytest.approx(0.91)
    rows = {row[0]: row[1] for row in found.tables["differences"].rows}
    assert rows == {"Tracing": "0.8 [0.8, 0.8]", "Random": "0.8 [0.8, 0.8]"}


def test_a_study_that_nothing_came_of_says_why() -> None:
    spec = study()
    lab = Lab()
    lab.answer = lambda spec: Child("x", None, "out of memory")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="out of memory"):
        reduce_study(spec, conduct(spec, lab, PARAMETERS), 1.0)


def test_arrays_say_groups_metrics_and_seeds_and_the_caption_counts(monkeypatch) -> None:
    spec = study()
    outcome = conduct(spec, Lab(), PARAMETERS)
    found, arrays = reduce_study(spec, outcome, 2.5)
    assert found.caption == "3 masks × 1 method × 3 seeds: 9 of 9 edits evaluated."
    assert (found.kind, found.seconds, found.peak_memory_bytes) == ("study", 2.5, 1)
    values, parameters = (found.arrays[f"study.{n}"] for n in ("values", "parameters"))
    assert [(axis.name, axis.labels) for axis in values.axes] == [
        ("group", ("Lookup", "Tracing", "Random")),
        ("metric", ("choice.after",)),
        ("seed", ("0", "1", "2")),
    ]
    assert [axis.name for axis in parameters.axes] == ["group", "seed"]
    np.testing.assert_allclose(arrays["study.values"][0, 0], [0.9, 0.91, 0.92])
    np.testing.assert_array_equal(arrays["study.parameters"], np.full((3, 3), 20.0))
    assert found.summary["study.lookup.ft.parameters"] == 20
    low, high = (found.summary[f"study.lookup.ft.choice.after.{end}"] for end in ("low", "high"))
    assert low == pytest.approx(0.9) and high == pytest.approx(0.92)
    assert found.provenance.seed == spec.seed and found.provenance.edits == ()


def test_what_failed_or_is_no_number_is_missing_and_not_counted() -> None:
    lab = Lab()
    plain = lab.answer

    def answer(one: Spec) -> Child:
        child = plain(one)
        if not isinstance(one, EvaluateSpec) or child.result is None:
            return child
        if one.seed == 1:
            return Child(child.handle, None, "it failed")
        more = {"words": "x", "flag": True, "none": None, "rank": 3}
        summary = {**child.result.summary, **more}
        return Child(child.handle, child.result.model_copy(update={"summary": summary}))

    lab.answer = answer  # type: ignore[method-assign]
    spec = StudySpec.model_validate({**STUDY, "seeds": [0, 1]})
    outcome = conduct(spec, lab, PARAMETERS)
    assert metric_names(outcome) == ["choice.after", "rank"]
    del outcome.evaluations[Cell("random", "ft", 0)]
    values = collect(spec, outcome, [("lookup", "ft"), ("random", "ft")], ["rank", "words"])
    np.testing.assert_array_equal(values[0], [[3, np.nan], [np.nan, np.nan]])
    assert np.isnan(values[1]).all()


def test_children_without_a_result_take_no_part_wherever_they_stand() -> None:
    spec = study()
    outcome = conduct(spec, Lab(), PARAMETERS)
    expected, _ = reduce_study(spec, outcome, 1.0)
    lost = {Cell("lookup", "ft", 7): Child("x", None, "it failed")}
    outcome.evaluations = lost | outcome.evaluations
    outcome.edits = lost | outcome.edits
    found, _ = reduce_study(spec, outcome, 1.0)
    assert found.summary == expected.summary
    assert found.provenance == expected.provenance
