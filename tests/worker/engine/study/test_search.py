"""The searches of a study: which trials are made, how they are compared, and on which facts."""

import math

import pytest

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY, Lab, result, study
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.selection import select
from worker.contract.spec import LocalizeSpec, Spec, StudySpec, UnlearnSpec, parse_spec
from worker.contract.study import Score, StudyMethod
from worker.engine.study.outcome import Child, Trial
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.engine.study.report import report_of
from worker.engine.study.search import (
    WIDENINGS,
    _grid,
    check_search_facts,
    combinations,
    facts_of,
    score_of,
)


def test_a_searchs_facts_are_forgotten_by_no_seed() -> None:
    lab = Lab()
    conduct(study(), lab, PARAMETERS)
    facts = FactSet(
        name="some",
        facts=tuple(
            Fact(id=f"f{i}", prompt="{} is", subject=f"S{i}", target="a") for i in range(20)
        ),
    )
    forgotten = {
        (spec.kind, spec.seed): {f.id for f in select(facts, spec.facts.forget, spec.seed).forget}
        for spec in lab.specs
        if isinstance(spec, LocalizeSpec | UnlearnSpec)
    }
    for kind in ("localize", "unlearn"):
        compared = set().union(*(forgotten[kind, seed] for seed in (0, 1, 2)))
        assert len(forgotten[kind, 1000]) == 4 and not forgotten[kind, 1000] & compared


def grid(*rates: float, best: float, **score: object) -> tuple[list[Trial], dict]:
    """The trials of a search over `rates` whose edit is the better the nearer to `best`."""
    methods = {"ft": {"title": "FT", "search": {"learning_rate": list(rates)}}}
    masks = {"lookup": STUDY["masks"]["lookup"]}
    spec = StudySpec.model_validate(
        {**STUDY, "masks": masks, "methods": methods, "score": {"names": ["edit"], **score}}
    )
    lab = Lab()
    plain = lab.answer

    def answer(one: Spec) -> Child:
        child = plain(one)
        if isinstance(one, UnlearnSpec) and child.result is not None:
            near = 0.9 - abs(math.log(one.options["learning_rate"] / best)) / 100
            found = child.result.model_copy(update={"summary": {"edit": near}})
            return Child(child.handle, found)
        return child

    lab.answer = answer  # type: ignore[method-assign]
    outcome = conduct(spec, lab, PARAMETERS)
    return outcome.trials, outcome.chosen


@pytest.mark.parametrize(("best", "rates"), [
    (0.02, [0.0125, 0.025, 0.05, 0.1, 0.2, 0.4]),
    (1.5, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]),
    (0.21, [0.1, 0.2, 0.4]),
])  # fmt: skip
def test_a_grid_is_widened_until_its_best_lies_inside(best: float, rates: list[float]) -> None:
    trials, found = grid(0.1, 0.2, 0.4, best=best)
    assert sorted(trial.options["learning_rate"] for trial in trials) == pytest.approx(rates)
    ((taken,),) = (options.values() for options in found.values())
    assert abs(math.log(taken / best)) < math.log(2) / 2 + 0.01


def test_a_grid_is_not_widened_for_ever() -> None:
    trials, _ = grid(0.1, 0.2, 0.4, best=1e9)
    assert len(trials) == 3 + WIDENINGS


def test_every_seed_takes_the_options_of_a_search_of_its_own() -> None:
    spec = StudySpec.model_validate({**STUDY, "score": {"names": ["edit"], "searches": 3}})
    lab = Lab()
    plain = lab.answer

    def answer(one: Spec) -> Child:
        child = plain(one)
        if isinstance(one, UnlearnSpec) and one.seed >= 1000 and child.result is not None:
            better = 0.1 if one.seed == 1001 else 0.2
            value = float(one.options["learning_rate"] == better)
            return Child(child.handle, child.result.model_copy(update={"summary": {"edit": value}}))
        return child

    lab.answer = answer  # type: ignore[method-assign]
    outcome = conduct(spec, lab, PARAMETERS)
    rates = {
        spec.seed: spec.options["learning_rate"]
        for spec in lab.specs
        if isinstance(spec, UnlearnSpec) and spec.seed < 1000
    }
    assert rates == {0: 0.2, 1: 0.1, 2: 0.2}
    found, arrays = reduce_study(spec, outcome, 1.0)
    chosen = report_of(found, arrays["study.values"]).groups[0].options
    assert chosen == {"learning_rate": [0.2, 0.1, 0.2]}


def test_log_odds_tell_apart_what_is_all_but_certain() -> None:
    trials, _ = grid(0.1, 0.2, 0.4, best=0.2, scale="log_odds")
    scores = {trial.options["learning_rate"]: trial.score for trial in trials}
    assert scores[0.2] == pytest.approx(math.log(9))
    spec = Score(names=("edit", "retain"), scale="log_odds")
    lookup = parse_spec({"kind": "localize", "facts": {"set": "a"}, "method": "fact_lookup"})
    sure = result(
        lookup,
        summary={"edit": 1.0, "retain": 0.999},
    )
    surer = result(
        lookup,
        summary={"edit": 0.9999, "retain": 0.9999},
    )
    assert score_of(surer, spec) > score_of(sure, spec) > 6  # type: ignore[operator]


def test_every_mask_is_searched_alike_and_the_best_trial_is_used() -> None:
    outcome = conduct(study(), Lab(), PARAMETERS)
    assert len(outcome.trials) == 3 * 2
    assert set(map(str, outcome.chosen.values())) == {"{'learning_rate': 0.2}"}


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        ([0.4, 0.1, 0.2], [0.1, 0.2, 0.4]),
        ([1, 2, 4], [1, 2, 4]),
        ([0.1, 0.2], []),
        ([0.1, 0.1, 0.2], []),
        ([0.0, 0.1, 0.2], []),
        ([-0.1, 0.1, 0.2], []),
        (["a", "b", "c"], []),
        ([True, 2, 3], []),
    ],
)
def test_three_different_positive_numbers_are_a_grid(values: list, grid: list[float]) -> None:
    assert _grid(values) == grid


def test_every_combination_is_tried_once_and_a_method_without_a_search_never() -> None:
    method = StudyMethod(title="t", search={"a": (1, 2), "b": ("x",)})
    assert combinations(method) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    assert combinations(StudyMethod(title="t")) == [{}]
    methods = STUDY["methods"] | {"plain": {"title": "P", "options": {"learning_rate": 0.3}}}
    outcome = conduct(StudySpec.model_validate({**STUDY, "methods": methods}), Lab(), PARAMETERS)
    assert {trial.method for trial in outcome.trials} == {"ft"}


def test_a_whole_number_is_widened_by_whole_numbers() -> None:
    trials, _ = grid(10, 20, 40, best=90.0)
    tried = [trial.options["learning_rate"] for trial in trials]
    assert tried == [10, 20, 40, 80, 160]
    assert all(isinstance(number, int) for number in tried)


def test_a_trial_that_lacks_one_of_the_numbers_has_no_score() -> None:
    lookup = parse_spec({"kind": "localize", "facts": {"set": "a"}, "method": "m"})
    score = Score(names=("edit", "retain"))
    assert score_of(None, score) is None
    assert score_of(result(lookup, summary={"edit": 0.5}), score) is None
    assert score_of(result(lookup, summary={"edit": 0.5, "retain": "x"}), score) is None
    assert score_of(result(lookup, summary={"edit": 0.5, "retain": 0.25}), score) == 0.25
    odds = score_of(
        result(lookup, summary={"edit": 0.0, "retain": 1.0}),
        Score(names=("edit",), scale="log_odds"),
    )
    assert odds == pytest.approx(math.log(1e-6), rel=1e-5)


def test_only_a_searchs_seed_draws_besides_the_compared_facts() -> None:
    spec = study()
    assert facts_of(spec, spec.facts, 0) == spec.facts
    drawn = facts_of(spec, spec.facts, 1000)
    assert drawn.forget == "random:* besides random:4@0,1,2"
    assert facts_of(spec.model_copy(update={"score": None}), spec.facts, 1000) == spec.facts


def test_a_study_whose_search_finds_no_facts_is_refused_before_it_begins() -> None:
    facts = tuple(Fact(id=f"f{i}", prompt="{} is", subject="S", target="a") for i in range(20))
    check_search_facts(study(), FactSet(name="s", facts=facts))
    few = FactSet(name="s", facts=facts[:5])
    with pytest.raises(UserError, match="The search finds no facts") as caught:
        check_search_facts(study(), few)
    assert caught.value.problems[0][0] == "seeds"
    check_search_facts(study().model_copy(update={"score": None}), few)
    plain = {"ft": {"title": "FT"}}
    check_search_facts(StudySpec.model_validate({**STUDY, "methods": plain}), few)


def test_a_trial_that_failed_is_no_best_one_and_is_told() -> None:
    lab = Lab()
    plain = lab.answer

    def answer(one: Spec) -> Child:
        if isinstance(one, UnlearnSpec) and one.options["learning_rate"] == 0.2:
            return Child("x", None, "no memory")
        return plain(one)

    lab.answer = answer  # type: ignore[method-assign]
    outcome = conduct(study(), lab, PARAMETERS)
    assert {str(one) for one in outcome.chosen.values()} == {"{'learning_rate': 0.1}"}
    assert ("lookup, ft, trial {'learning_rate': 0.2}", "no memory") in outcome.failures
