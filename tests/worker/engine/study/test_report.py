"""A study's report: what a page and a gallery show, and how it is compared with the paper."""

import pytest

from tests.worker.engine.study.test_plan import PARAMETERS, Lab, study
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
