"""What a study compares, as it is written and as its report is kept."""

import pytest
from pydantic import ValidationError

from worker.contract.mask import MaskRule
from worker.contract.study import (
    ReportGroup,
    ReportMetric,
    Score,
    StudyLocalization,
    StudyMask,
    StudyMethod,
    StudyReport,
)

TRACING = StudyLocalization(method="causal_tracing")


def test_a_mask_of_a_study_has_one_source() -> None:
    for given in ({"components": ()}, {"localization": TRACING}, {"control": "all"}):
        assert StudyMask(title="m", **given)
    with pytest.raises(ValidationError, match="gives nothing; expected exactly one of components"):
        StudyMask(title="m")
    with pytest.raises(ValidationError, match="gives components and control; expected"):
        StudyMask(title="m", components=(), control="all")
    with pytest.raises(ValidationError, match="gives components and localization; expected"):
        StudyMask(title="m", components=(), localization=TRACING)


def test_a_localization_chooses_for_itself_where_that_is_said_either_way() -> None:
    plain = StudyMask(title="m", localization=TRACING)
    assert not plain.takes_suggested
    assert plain.model_copy(update={"suggested": True}).takes_suggested
    assert plain.model_copy(update={"rule": MaskRule(suggested=True)}).takes_suggested
    assert not plain.model_copy(update={"rule": MaskRule(top=1)}).takes_suggested


def test_what_a_study_leaves_out_is_the_papers() -> None:
    mask = StudyMask(title="m", localization=TRACING)
    assert mask.model_dump(exclude={"title", "localization"}) == {
        "components": None,
        "only": "whole",
        "rule": None,
        "suggested": False,
        "control": None,
    }
    assert TRACING.model_dump() == {"method": "causal_tracing", "options": {}, "forget": None}
    assert StudyMethod(title="t").model_dump() == {
        "title": "t",
        "method": "localized_finetuning",
        "options": {},
        "search": {},
    }


def test_each_search_has_a_seed_of_its_own() -> None:
    assert Score(names=("forget",)).seeds == (1000,)
    assert Score(names=("forget",)).scale == "value"
    assert Score(names=("forget",), search_seed=0, searches=3).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    "wrong", [{"names": ()}, {"search_seed": -1}, {"searches": 0}, {"searches": 101}]
)
def test_a_score_of_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Score(**{"names": ("forget",), **wrong})
    assert len(Score(names=("forget",), searches=100).seeds) == 100


def test_a_report_that_was_kept_with_less_is_read() -> None:
    group = ReportGroup(mask="m", method="f", title="t", parameters=None)
    metric = ReportMetric(name="forget", short="forget", title="Forget")
    report = StudyReport(
        model="demo",
        weights_hash="h",
        fact_set="s",
        forget="first:1",
        seeds=(0,),
        device="cpu",
        seconds=1,
        groups=(group,),
        metrics=(metric,),
        values=(((0.5,),),),
        estimates=((None,),),
    )
    kept = report.model_dump(exclude_defaults=True)
    assert StudyReport.model_validate(kept) == report
    assert {report.title, report.caption} == {""}
    assert (report.versions, report.reference, report.failures) == ({}, None, None)
    assert report.differences == report.base == ()
    assert (group.options, group.components, metric.better) == ({}, (), "none")
