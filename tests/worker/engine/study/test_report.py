"""A study's report: what a page and a gallery show, and how it is compared with the paper."""

from typing import Any

import numpy as np
import pytest

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY, Lab, study
from worker.contract.result import Result
from worker.contract.spec import StudySpec
from worker.contract.study import StudyReport
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.engine.study.report import report_of


def made() -> StudyReport:
    spec = study()
    result, arrays = reduce_study(spec, conduct(spec, Lab(), PARAMETERS), 1.0)
    return report_of(result, arrays["study.values"], title="A study")


def test_a_report_holds_values_means_and_paired_differences() -> None:
    report = made()
    assert [group.mask for group in report.groups] == ["lookup", "tracing", "random"]
    assert [metric.name for metric in report.metrics] == ["choice.after"]
    assert report.values[0][0] == (0.9, 0.91, 0.92)
    assert report.estimates[0][0].mean == pytest.approx(0.91)
    assert report.estimates[0][0].n == 3
    assert report.differences[1][0].mean == pytest.approx(0.8)
    assert report.differences[0][0].mean == 0.0


def test_a_report_says_what_the_search_chose() -> None:
    assert made().groups[0].options == {"learning_rate": 0.2}
    assert made().groups[0].parameters == 20


def test_a_report_is_read_again_as_it_was_written() -> None:
    report = made()
    assert StudyReport.model_validate_json(report.model_dump_json()) == report


def reduced(**fields: object) -> tuple[Result, np.ndarray]:
    spec = StudySpec.model_validate({**STUDY, "seeds": [0, 1], **fields})
    result, arrays = reduce_study(spec, conduct(spec, Lab(), PARAMETERS), 2.5)
    return result, arrays["study.values"]


def with_rows(result: Result, name: str, *rows: tuple[Any, ...]) -> Result:
    table = result.tables[name].model_copy(update={"rows": rows})
    return result.model_copy(update={"tables": {**result.tables, name: table}})


def test_a_report_says_of_what_it_is() -> None:
    result, values = reduced()
    report = report_of(result, values)
    made = result.provenance
    assert (report.title, report.caption, report.seconds) == ("", result.caption, 2.5)
    assert (report.model, report.weights_hash, report.device) == ("demo", "h", "cpu")
    assert (report.versions, report.fact_set, report.forget) == (
        made.versions, "athletes", "random:4",
    )  # fmt: skip
    assert (report.seeds, report.reference) == ((0, 1), "lookup")
    assert report.failures == result.tables["failures"]
    assert [(g.mask, g.method, g.title) for g in report.groups] == [
        ("lookup", "ft", "Lookup"), ("tracing", "ft", "Tracing"), ("random", "ft", "Random"),
    ]  # fmt: skip
    bare = report_of(result.model_copy(update={"tables": {}}), values)
    assert (bare.failures, bare.groups[0].options, bare.metrics[0].title) == (
        None, {}, "choice.after",
    )  # fmt: skip


def test_a_group_has_its_own_components_and_its_size_where_that_is_known() -> None:
    result, values = reduced()
    rows = [("Lookup", 0, "a, b", 20), ("Lookup", 1, "c", 20), ("Random", 0, "d", 20)]
    told = with_rows(result, "masks", *rows)
    key = "study.random.ft.parameters"
    told = told.model_copy(update={"summary": {**told.summary, key: None}})
    groups = report_of(told, values).groups
    assert [group.components for group in groups] == [("a, b", "c"), (), ("d",)]
    assert [group.parameters for group in groups] == [20.0, 20.0, None]


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [
        ([(0.1, 0.5, 0), (0.2, 0.7, 0), (0.4, 0.6, 0)], {"rate": 0.2}),
        ([(0.1, 0.5, 0), (0.2, 0.5, 0)], {"rate": 0.1}),  # of equal ones the first
        ([(0.1, None, 0), (0.2, -9.0, 0)], {"rate": 0.2}),
        ([(0.1, 0.5, 0), (0.2, 0.4, 1)], {"rate": [0.1, 0.2]}),
        ([(0.1, 0.5, 0), (0.1, 0.4, 1)], {"rate": 0.1}),
        ([(0.1, None, 0)], {}),
    ],
)
def test_what_a_search_chose_is_the_best_trials_of_its_own_mask_and_method(
    trials: list[tuple[float, float | None, int]], chosen: dict[str, Any]
) -> None:
    result, values = reduced()
    own = [("lookup", "ft", f'{{"rate": {r}}}', score, "x", s) for r, score, s in trials]
    others = [("lookup", "npo", '{"rate": 9}', 9.0, "x", 0), ("all", "ft", "{}", 9.0, "x", 0)]
    told = with_rows(result, "trials", *others, *own)
    assert report_of(told, values).groups[0].options == chosen
    without_searches = [row[:5] for row in own if row[5] == 0]
    older = report_of(with_rows(result, "trials", *without_searches), values)
    assert list(older.groups[0].options) == list(chosen)


def measured(*names: str) -> tuple[Result, np.ndarray]:
    """A study of two seeds that measured these numbers: 0, 1, … and 10, 11, …, for every mask."""
    result, values = reduced()
    seeds = np.array([[number, 10.0 + number] for number in range(len(names))])
    array = result.arrays["study.values"]
    axes = (array.axes[0], array.axes[1].model_copy(update={"labels": names}), array.axes[2])
    arrays = {**result.arrays, "study.values": array.model_copy(update={"axes": axes})}
    return result.model_copy(update={"arrays": arrays}), np.stack([seeds] * len(values))


def test_the_model_before_the_edit_is_told_where_an_evaluation_measured_it() -> None:
    names = ("p.before", "p.after", "q.after", "interference.x.before", "interference.x.after")
    result, values = measured(*names)
    values[0, 0] = [np.nan, 0.123456]
    report = report_of(result, values)
    assert [metric.name for metric in report.metrics] == [names[1], names[2], names[4]]
    assert report.base == (pytest.approx((0.12346 + 4 * 5.0) / 5, abs=1e-5), None, None)
    values[:, 0] = np.nan
    assert report_of(result, values).base == (None, None, None)
    alone = report_of(*measured("rank.before"))
    assert alone.metrics[0].name == "rank.before" and alone.base == (None,)


def test_numbers_have_five_decimals_and_what_is_missing_is_none() -> None:
    result, values = measured("x")
    values[0, 0] = [0.1234567, 0.1]
    values[1, 0] = np.nan
    report = report_of(result, values)
    assert report.values[0][0] == (0.12346, 0.1)
    assert report.values[1][0] == (None, None)
    first = report.estimates[0][0]
    assert first is not None and (first.mean, first.low, first.high, first.n) == (
        0.11173, 0.1, 0.12346, 2,
    )  # fmt: skip
    assert report.estimates[1][0] is None


def test_differences_are_the_reference_minus_each_group_of_the_same_method() -> None:
    methods = {name: {"title": name} for name in ("ft", "npo")}
    spec = StudySpec.model_validate(
        {**STUDY, "seeds": [0], "methods": methods, "reference": "tracing"}
    )
    result, _ = reduced()
    array = result.arrays["study.values"]
    labels = tuple(f"{mask}, {method}" for mask in spec.masks for method in methods)
    groups = array.axes[0].model_copy(update={"labels": labels})
    told = result.model_copy(
        update={
            "spec": spec.model_dump(mode="json"),
            "arrays": {
                "study.values": array.model_copy(update={"axes": (groups, *array.axes[1:])})
            },
        }
    )
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]).reshape(6, 1, 1)
    means = [row[0].mean for row in report_of(told, values).differences if row[0]]
    assert means == [4 - 1, 8 - 2, 0, 0, 4 - 16, 8 - 32]
    without = spec.model_copy(update={"reference": None}).model_dump(mode="json")
    assert report_of(told.model_copy(update={"spec": without}), values).differences == ()
