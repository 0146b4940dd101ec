from collections.abc import Sequence

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
from worker.engine.study.outcome import Cell, Child
from worker.engine.study.plan import conduct

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


def test_every_child_is_computed_in_the_studys_dtype() -> None:
    lab = Lab()
    conduct(study().model_copy(update={"dtype": "bfloat16"}), lab, PARAMETERS)
    assert {(spec.kind, spec.dtype) for spec in lab.specs} == {
        ("localize", "bfloat16"), ("unlearn", "bfloat16"), ("evaluate", "bfloat16"),
    }  # fmt: skip


def test_the_search_seed_is_in_no_comparison() -> None:
    outcome = conduct(study(), Lab(), PARAMETERS)
    assert {cell.seed for cell in outcome.edits} == {0, 1, 2}


def test_a_failed_child_is_reported_and_the_rest_goes_on() -> None:
    outcome = conduct(study(), Lab(failing="causal_tracing"), PARAMETERS)
    assert {cell.mask for cell in outcome.evaluations} == {"lookup", "random"}
    assert len(outcome.failures) == 4
    assert {why for _, why in outcome.failures} == {"it failed"}


def test_a_localization_may_have_facts_of_its_own_and_stand_behind_a_control() -> None:
    own = {"method": "causal_tracing", "forget": "random:2"}
    masks = {"random": STUDY["masks"]["random"], "own": {"title": "Own", "localization": own}}
    masks["lookup"] = STUDY["masks"]["lookup"]
    lab = Lab()
    conduct(StudySpec.model_validate({**STUDY, "masks": masks, "seeds": [0]}), lab, PARAMETERS)
    asked = [
        (spec.method, spec.facts.forget, spec.options, spec.seed)
        for spec in lab.specs
        if isinstance(spec, LocalizeSpec)
    ]
    assert asked == [
        ("causal_tracing", "random:2", {}, 0),
        ("causal_tracing", "random:* besides random:2@0", {}, 1000),
        ("fact_lookup", "random:4", {}, 0),
        ("fact_lookup", "random:* besides random:4@0", {}, 1000),
    ]


def test_an_edit_and_an_evaluation_that_fail_are_told_by_mask_method_and_seed() -> None:
    lab = Lab()
    plain = lab.answer

    def answer(spec: Spec) -> Child:
        child = plain(spec)
        if spec.kind == "unlearn" and spec.seed == 1:
            return Child(child.handle, None, "no memory")
        if spec.kind == "evaluate" and spec.seed == 2:
            return Child(child.handle, None, "no disk")
        return child

    lab.answer = answer  # type: ignore[method-assign]
    outcome = conduct(study(), lab, PARAMETERS)
    masks = ("lookup", "tracing", "random")
    assert set(outcome.failures) == {
        *((f"{mask}, ft, seed 1, unlearn", "no memory") for mask in masks),
        *((f"{mask}, ft, seed 2, evaluate", "no disk") for mask in masks),
    }
    assert {cell.seed for cell in outcome.edits} == {0, 2}
    assert {cell.seed for cell in outcome.evaluations} == {0}


def test_an_evaluation_is_of_the_edited_model_with_the_studys_questions() -> None:
    more = {"evaluations": ["probes"], "options": {"probes": {"retain_facts": 4}}}
    model = {"base": "demo", "edits": ["before"]}
    lab = Lab()
    spec = StudySpec.model_validate({**STUDY, **more, "model": model, "seeds": [5]})
    outcome = conduct(spec, lab, PARAMETERS)
    [asked] = [s for s in lab.specs if isinstance(s, EvaluateSpec) and "lookup" in s.edits[-1]]
    edit = outcome.edits[Cell("lookup", "ft", 5)].handle
    assert (asked.base, asked.edits, asked.seed) == ("demo", ("before", edit), 5)
    assert (asked.facts, asked.evaluations, asked.options) == (
        spec.facts, ("probes",), more["options"],
    )  # fmt: skip
    assert all(s.edits == ("before",) for s in lab.specs if not isinstance(s, EvaluateSpec))
