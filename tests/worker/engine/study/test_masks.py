"""A study's masks: from which localization, of which size, and what is said where one fails."""

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY, Lab, result, study
from worker.contract.mask import ControlRule, MaskRule, MaskSpec
from worker.contract.result import Attribution
from worker.contract.spec import LocalizeSpec, StudySpec, UnlearnSpec, parse_spec
from worker.engine.study.masks import Masks, key_of
from worker.engine.study.outcome import Child, Outcome
from worker.engine.study.plan import conduct


def test_the_budget_of_one_mask_binds_the_others() -> None:
    lab = Lab()
    conduct(study(), lab, PARAMETERS)
    masks = [s.mask for s in lab.specs if isinstance(s, UnlearnSpec)]
    assert {m.rule.parameters for m in masks if m.rule} == {20}
    assert {m.control.parameters for m in masks if m.control} == {20}


def test_without_the_mask_that_sets_the_budget_no_other_is_given_a_size_of_its_own() -> None:
    lab = Lab(failing="fact_lookup")
    outcome = conduct(study(), lab, PARAMETERS)
    assert not [s for s in lab.specs if isinstance(s, UnlearnSpec)]
    reasons = dict(outcome.failures)
    assert reasons["tracing, seed 0"] == "Lookup, which sets the budget, failed"
    assert reasons["lookup, seed 0"] == "it failed"


def test_a_mask_rule_may_take_the_localizations_own_choice_in_a_study() -> None:
    own = {"title": "Own", "localization": {"method": "fact_lookup"}, "rule": {"suggested": True}}
    spec = parse_spec({**STUDY, "masks": {**STUDY["masks"], "lookup": own}})
    assert isinstance(spec, StudySpec)
    lab = Lab()
    conduct(spec, lab, PARAMETERS)
    edits = [one for one in lab.specs if isinstance(one, UnlearnSpec)]
    assert ("blocks.0.mlp", "blocks.1.mlp") in {one.mask.components for one in edits}


def masks(outcome: Outcome, attribution: Attribution | None = None, **fields: object) -> Masks:
    """The masks of a study of two localizations, of which fact lookup's says `attribution`."""
    spec = StudySpec.model_validate({**STUDY, **fields})
    located = {}
    for mask in spec.masks.values():
        if (by := mask.localization) is not None:
            asked = LocalizeSpec(facts=spec.facts, method=by.method)
            found = result(asked, attribution=attribution)
            located[key_of(by), 0] = Child(f"{by.method}-0", found)
    return Masks(spec, located, PARAMETERS, outcome)


def test_components_and_controls_are_taken_as_they_are_named() -> None:
    named = STUDY["masks"] | {
        "own": {"title": "Own", "components": ["blocks.1.mlp"]},
        "all": {"title": "All", "control": "all"},
        "ruled": {
            "title": "R",
            "localization": {"method": "causal_tracing"},
            "rule": {"top": 1},
        },
    }
    made = masks(Outcome(), masks=named, budget="own", reference=None)
    assert made.spec("own", 0) == MaskSpec(components=("blocks.1.mlp",))
    assert made.spec("all", 0) == MaskSpec(control=ControlRule(kind="all", parameters=10))
    assert made.spec("ruled", 0) == MaskSpec(localization="causal_tracing-0", rule=MaskRule(top=1))
    assert made.spec("tracing", 0) == MaskSpec(
        localization="causal_tracing-0", rule=MaskRule(parameters=10, only="whole")
    )
    assert made.spec("random", 0) == MaskSpec(
        control=ControlRule(kind="random_mlps", parameters=10)
    )


def test_a_localization_that_suggests_nothing_is_told_with_its_reason() -> None:
    said = {"method": "fact_lookup", "metric": "", "direction": "", "unit": ""}
    for attribution, words in (
        (Attribution(**said, no_choice="only noise"), "only noise"),
        (Attribution(**said), "it suggests no components"),
        (None, "it suggests no components"),
    ):
        outcome = Outcome()
        made = masks(outcome, attribution, budget=None, reference=None)
        assert made.spec("lookup", 0) is None
        assert outcome.failures == [("lookup, seed 0", words)]
