"""How far a study is, stage by stage."""

from datetime import UTC, datetime

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY, Lab, study
from worker.contract.records import RunRecord
from worker.contract.spec import Spec, StudySpec
from worker.engine.study.plan import conduct
from worker.engine.study.stages import stages


def test_stages_know_how_many_children_there_will_be() -> None:
    found = {stage.title: stage.expected for stage in stages(study(), ())}
    assert found == {
        "Localizations": 2 * 4, "Trials of the search": 3 * 2, "Edits": 9, "Evaluations": 9
    }  # fmt: skip


def test_a_conducted_study_has_exactly_the_expected_children() -> None:
    lab = Lab()
    conduct(study(), lab, PARAMETERS)
    assert len(lab.specs) == sum(stage.expected for stage in stages(study(), ()))


def record(spec: Spec, state: str) -> RunRecord:
    return RunRecord(
        id="r",
        kind=spec.kind,
        title="",
        spec=spec.model_dump(mode="json"),
        state=state,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_children_are_counted_in_the_stage_that_asked_for_them() -> None:
    lab = Lab()
    conduct(study(), lab, PARAMETERS)
    children = [record(spec, "done" if i % 2 else "running") for i, spec in enumerate(lab.specs)]
    found = stages(study(), children)
    assert [len(stage.children) for stage in found] == [stage.expected for stage in found]
    assert sum(stage.count("done") for stage in found) == len(children) // 2
    assert sum(stage.count("done", "running") for stage in found) == len(children)
    trial = next(child for child in found[1].children)
    assert trial.spec["seed"] == 1000
    more = stages(study(), [*children, trial])
    assert more[1].expected == found[1].expected + 1, "a search may go on beyond its grid"


def test_what_a_study_does_not_need_is_no_stage() -> None:
    masks = {"all": {"title": "All", "control": "all"}}
    plain = {"masks": masks, "budget": None, "reference": None, "methods": {"ft": {"title": "F"}}}
    spec = StudySpec.model_validate({**STUDY, **plain})
    assert [(stage.title, stage.expected) for stage in stages(spec, ())] == [
        ("Edits", 3),
        ("Evaluations", 3),
    ]
    assert spec.score is not None, "which searches nothing here"
    two = {"title": "F", "search": {"a": [1, 2], "b": [1, 2, 3]}}
    more = {**STUDY, "methods": {"ft": two}, "score": {"names": ["edit"], "searches": 2}}
    found = {s.title: s.expected for s in stages(StudySpec.model_validate(more), ())}
    assert found["Trials of the search"] == 3 * 6 * 2
    assert found["Localizations"] == 2 * (3 + 2)
