import math
from collections.abc import Sequence

import numpy as np
import pytest

from worker.contract.facts import Fact, FactSet
from worker.contract.mask import Mask
from worker.contract.result import Attribution, Provenance, Receipt, Result
from worker.contract.selection import select
from worker.contract.spec import (
    EvaluateSpec,
    LocalizeSpec,
    Spec,
    StudySpec,
    UnlearnSpec,
    parse_spec,
)
from worker.contract.study import Score
from worker.engine.study.intervals import interval
from worker.engine.study.outcome import Child, Trial
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.engine.study.report import report_of
from worker.engine.study.search import WIDENINGS, score_of

PARAMETERS = {f"blocks.{layer}.mlp": 10 for layer in range(4)}
STUDY = {
    "kind": "study",
    "facts": {"set": "athletes", "forget": "random:4"},
    "masks": {
        "lookup": {"title": "Lookup", "localization": {"method": "fact_lookup"}, "suggested": True},
        "tracing": {"title": "Tracing", "localization": {"method": "causal_tracing"}},
        "random": {"title": "Random", "control": "random_mlps"},
    },
    "methods": {"ft": {"title": "FT", "search": {"learning_rate": [0.1, 0.2]}}},
    "seeds": [0, 1, 2],
    "budget": "lookup",
    "reference": "lookup",
    "score": {"names": ["edit", "retain"]},
}


def study() -> StudySpec:
    spec = parse_spec(STUDY)
    assert isinstance(spec, StudySpec)
    return spec


def result(spec: Spec, **fields: object) -> Result:
    provenance = Provenance(
        model="demo", weights_hash="h", seed=spec.seed, device="cpu", dtype="float32", versions={}
    )
    values = {"kind": spec.kind, "spec": {}, "seconds": 1, "peak_memory_bytes": 1}
    return Result.model_validate({**values, "provenance": provenance, **fields})


class Lab:
    """Children that answer by rule: lookup edits spread, others do not; 0.2 is the better rate."""

    def __init__(self, failing: str = "") -> None:
        self.specs: list[Spec] = []
        self.failing = failing

    def __call__(self, specs: Sequence[Spec], stage: str) -> list[Child]:
        self.specs += specs
        return [self.answer(spec) for spec in specs]

    def answer(self, spec: Spec) -> Child:
        handle = f"{spec.kind}-{len(spec.model_dump_json())}-{hash(spec.model_dump_json())}"
        if isinstance(spec, LocalizeSpec):
            if spec.method == self.failing:
                return Child(handle, None, "it failed")
            mask = Mask(components=("blocks.0.mlp", "blocks.1.mlp"))
            found = Attribution(
                method=spec.method, metric="", direction="", unit="", suggested=mask
            )
            return Child(handle, result(spec, attribution=found))
        if isinstance(spec, UnlearnSpec):
            rate = spec.options["learning_rate"]
            receipt = Receipt(
                tensors=(),
                n_parameters=20,
                n_changed=20,
                hash_before="a",
                hash_after="b",
                outside_unchanged=True,
                n_outside_checked=1,
                base_restored=True,
            )
            handle = ("lookup" if spec.mask.components else "other") + handle
            return Child(
                handle, result(spec, summary={"edit": rate, "retain": 1.0}, receipt=receipt)
            )
        assert isinstance(spec, EvaluateSpec)
        spread = 0.9 if spec.edits[-1].startswith("lookup") else 0.1
        return Child(handle, result(spec, summary={"choice.after": spread + 0.01 * spec.seed}))


def test_a_localization_is_run_once_per_seed_and_shared() -> None:
    lab = Lab()
    conduct(study(), lab, PARAMETERS)
    localizations = [s for s in lab.specs if isinstance(s, LocalizeSpec)]
    assert len(localizations) == len({s.model_dump_json() for s in localizations}) == 2 * 4


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


def test_every_child_is_computed_in_the_studys_dtype() -> None:
    lab = Lab()
    conduct(study().model_copy(update={"dtype": "bfloat16"}), lab, PARAMETERS)
    assert {(spec.kind, spec.dtype) for spec in lab.specs} == {
        ("localize", "bfloat16"), ("unlearn", "bfloat16"), ("evaluate", "bfloat16"),
    }  # fmt: skip


def test_the_budget_of_one_mask_binds_the_others() -> None:
    lab = Lab()
    conduct(study(), lab, PARAMETERS)
    masks = [s.mask for s in lab.specs if isinstance(s, UnlearnSpec)]
    assert {m.rule.parameters for m in masks if m.rule} == {20}
    assert {m.control.parameters for m in masks if m.control} == {20}


def test_the_search_seed_is_in_no_comparison() -> None:
    outcome = conduct(study(), Lab(), PARAMETERS)
    assert {cell.seed for cell in outcome.edits} == {0, 1, 2}


def test_a_failed_child_is_reported_and_the_rest_goes_on() -> None:
    outcome = conduct(study(), Lab(failing="causal_tracing"), PARAMETERS)
    assert {cell.mask for cell in outcome.evaluations} == {"lookup", "random"}
    assert len(outcome.failures) == 4
    assert {why for _, why in outcome.failures} == {"it failed"}


def test_without_the_mask_that_sets_the_budget_no_other_is_given_a_size_of_its_own() -> None:
    lab = Lab(failing="fact_lookup")
    outcome = conduct(study(), lab, PARAMETERS)
    assert not [s for s in lab.specs if isinstance(s, UnlearnSpec)]
    reasons = dict(outcome.failures)
    assert reasons["tracing, seed 0"] == "Lookup, which sets the budget, failed"
    assert reasons["lookup, seed 0"] == "it failed"


def test_the_table_gives_means_intervals_and_paired_differences() -> None:
    spec = study()
    found, arrays = reduce_study(spec, conduct(spec, Lab(), PARAMETERS), 1.0)
    assert arrays["study.values"].shape == (3, 1, 3)
    assert found.summary["study.lookup.ft.choice.after"] == pytest.approx(0.91)
    rows = {row[0]: row[1] for row in found.tables["differences"].rows}
    assert rows == {"Tracing": "0.8 [0.8, 0.8]", "Random": "0.8 [0.8, 0.8]"}


def test_an_interval_covers_the_mean_of_a_normal_sample_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        _, low, high = interval(generator.normal(3.0, 1.0, 40))
        covered += low <= 3.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_study_that_nothing_came_of_says_why() -> None:
    spec = study()
    lab = Lab()
    lab.answer = lambda spec: Child("x", None, "out of memory")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="out of memory"):
        reduce_study(spec, conduct(spec, lab, PARAMETERS), 1.0)


def test_a_mask_rule_may_take_the_localizations_own_choice_in_a_study() -> None:
    own = {"title": "Own", "localization": {"method": "fact_lookup"}, "rule": {"suggested": True}}
    spec = parse_spec({**STUDY, "masks": {**STUDY["masks"], "lookup": own}})
    assert isinstance(spec, StudySpec)
    lab = Lab()
    conduct(spec, lab, PARAMETERS)
    edits = [one for one in lab.specs if isinstance(one, UnlearnSpec)]
    assert ("blocks.0.mlp", "blocks.1.mlp") in {one.mask.components for one in edits}
