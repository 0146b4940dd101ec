from collections.abc import Sequence

import numpy as np
import pytest

from worker.contract.mask import Mask
from worker.contract.result import Attribution, Provenance, Receipt, Result
from worker.contract.spec import (
    EvaluateSpec,
    LocalizeSpec,
    Spec,
    StudySpec,
    UnlearnSpec,
    parse_spec,
)
from worker.engine.study.intervals import interval
from worker.engine.study.outcome import Child
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study

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
