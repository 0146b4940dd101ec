"""A study's report: what a page and a gallery show, and how it is compared with the paper."""

import pytest

from tests.worker.engine.study.test_plan import PARAMETERS, Lab, study
from worker.contract.result import Estimate
from worker.contract.study import ReportGroup, ReportMetric, StudyReport
from worker.engine.study.paper import (
    FIGURES,
    agreements,
    paper_value,
    sentences,
)
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.engine.study.report import report_of
from worker.engine.study.stages import stages


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


def paper_like(measured: dict[str, Estimate]) -> StudyReport:
    """A study of fact lookup and others with these differences in multiple choice."""
    groups = ("fact_lookup", *measured)
    return StudyReport(
        model="demo", weights_hash="h", fact_set="athletes", forget="random:4", seeds=(0,),
        device="cpu", seconds=1, reference="fact_lookup",
        groups=tuple(ReportGroup(mask=g, method="ft", title=g, parameters=1) for g in groups),
        metrics=(ReportMetric(name="m", short="choice_edit", title="MCQ edit", better="higher"),),
        values=tuple(((0.5,),) for _ in groups),
        estimates=tuple((None,) for _ in groups),
        differences=((None,), *((found,) for found in measured.values())),
    )  # fmt: skip


def test_the_study_is_compared_with_the_papers_differences_by_sign_and_interval() -> None:
    report = paper_like(
        {
            "causal_tracing": Estimate(mean=0.4, low=0.3, high=0.5, n=5),
            "attribution_patching": Estimate(mean=0.1, low=-0.1, high=0.3, n=5),
            "random": Estimate(mean=-0.2, low=-0.3, high=-0.1, n=5),
        }
    )
    (one,) = agreements(report)
    assert one.agrees == ("causal_tracing",)
    assert one.open == ("attribution_patching",)
    assert one.opposes == ("random",)
    said = " ".join(sentences(report))
    assert "Of the 3 differences" in said and "1 is found here" in said
    assert "+0.40 [+0.30, +0.50] over causal_tracing (paper: +0.71)" in said
    assert "1 with the other sign" in said


def test_the_papers_figures_are_those_of_its_table() -> None:
    assert paper_value("fact_lookup", "choice_edit") == 0.862
    assert paper_value("everything", "relearn_retain") == 0.643
    assert paper_value("fact_lookup", "latent_true") is None
    assert all(len(row) == 8 for row in FIGURES.values())


def test_stages_know_how_many_children_there_will_be() -> None:
    found = {stage.title: stage.expected for stage in stages(study(), ())}
    assert found == {
        "Localizations": 2 * 4, "Trials of the search": 3 * 2, "Edits": 9, "Evaluations": 9
    }  # fmt: skip


def test_a_conducted_study_has_exactly_the_expected_children() -> None:
    lab = Lab()
    conduct(study(), lab, PARAMETERS)
    assert len(lab.specs) == sum(stage.expected for stage in stages(study(), ()))
