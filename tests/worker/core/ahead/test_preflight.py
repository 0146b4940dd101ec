"""What is said before a run is queued: unknown facts, refusals, and how long it takes."""

import pytest

from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.spec import parse_spec
from worker.core.ahead.preflight import preflight
from worker.core.models.deltas import checksum
from worker.core.models.model import Model

LOCALIZE = {"kind": "localize", "method": "attribution_patching"}
UNLEARN = {"kind": "unlearn", "mask": {"components": ["blocks.1.mlp"]}}


def ask(model: Model, facts: tuple[Fact, ...], kind: dict[str, object], forget: str = "first:3"):
    spec = parse_spec({**kind, "model": model.id, "facts": {"set": "s", "forget": forget}})
    return preflight(spec, Inputs(out="", fact_set=FactSet(name="s", facts=facts)), model)


def test_a_localization_says_what_it_will_leave_out(model: Model, facts: tuple[Fact, ...]) -> None:
    unknown = facts[0].model_copy(update={"id": "unknown", "target": "xylophone"})
    no_foil = facts[1].model_copy(update={"id": "no-foil", "edit_target": ""})
    merged = facts[2].model_copy(
        update={"id": "merged", "subject": "nis", "prompt": "Fact: ten{} plays"}
    )
    found = ask(model, (unknown, no_foil, merged, *facts), LOCALIZE, "first:6")
    reasons = {row.row: row.reason for row in found.left_out}
    assert sorted(reasons) == [0, 1, 2]
    for row, words in ((0, "does not know"), (1, "no edit target"), (2, "shares a token")):
        assert words in reasons[row]
    assert found.n_facts == 3
    assert found.notes[-1] == "3 of 6 facts are left out."
    assert found.seconds is not None and found.seconds >= 0


def test_a_localization_of_nothing_that_is_known_is_refused(
    model: Model, facts: tuple[Fact, ...]
) -> None:
    strange = tuple(f.model_copy(update={"target": "xylophone"}) for f in facts)
    with pytest.raises(UserError, match="None of the 3 facts can be traced") as caught:
        ask(model, strange, LOCALIZE)
    assert caught.value.problems[0][0] == "facts.forget"


def test_a_training_is_refused_for_a_fact_that_it_cannot_use(
    model: Model, facts: tuple[Fact, ...]
) -> None:
    long = facts[0].model_copy(update={"id": "long", "prompt": "word " * 140 + "{} is"})
    with pytest.raises(UserError, match=r"1 of the 3 chosen facts cannot be used\. long:"):
        ask(model, (long, *facts), UNLEARN)
    aimless = tuple(f.model_copy(update={"edit_target": ""}) for f in facts)
    with pytest.raises(UserError, match="no edit target"):
        ask(model, aimless, UNLEARN)


def test_a_look_at_a_training_trains_nothing(model: Model, facts: tuple[Fact, ...]) -> None:
    strange = (facts[0].model_copy(update={"target": "xylophone"}), *facts[1:])
    before = checksum(model)
    found = ask(model, strange, {**UNLEARN, "options": {"steps": 5000}})
    assert checksum(model) == before
    few = ask(model, strange, {**UNLEARN, "options": {"steps": 50}})
    assert found.seconds is not None and few.seconds is not None
    assert 20 < found.seconds / few.seconds < 110
    assert "1 of 3 targets a probability below 0.1" in found.notes[0]


def test_the_memory_said_is_that_of_the_runs_kind_and_mask(
    model: Model, facts: tuple[Fact, ...]
) -> None:
    weights = sum(p.numel() * p.element_size() for p in model.hf.parameters())
    fact_set = FactSet(name="s", facts=facts)

    def said(n_parameters: int) -> int:
        spec = parse_spec({**UNLEARN, "facts": {"set": "s", "forget": "first:3"}})
        mask = Mask(components=("blocks.1.mlp",), n_parameters=n_parameters)
        found = preflight(spec, Inputs(out="", fact_set=fact_set, mask=mask), model)
        assert found.memory_bytes is not None
        return found.memory_bytes

    some, more = said(1_000), said(1_001_000)
    assert some > weights
    assert more - some == 4 * 5 * 1_000_000, "the base's copy, a best, gradients, two moments"


def test_a_brief_look_refuses_by_the_tokens_and_runs_no_model(
    model: Model, facts: tuple[Fact, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*given: object, **named: object) -> None:
        raise AssertionError("the model is run")

    monkeypatch.setattr(model.hf, "forward", run)
    merged = facts[0].model_copy(
        update={"id": "merged", "subject": "nis", "prompt": "Fact: ten{} plays"}
    )
    spec = parse_spec({**LOCALIZE, "model": model.id, "facts": {"set": "s", "forget": "first:2"}})

    def brief(*chosen: Fact):
        fact_set = FactSet(name="s", facts=chosen)
        return preflight(spec, Inputs(out="", fact_set=fact_set), model, brief=True)

    found = brief(merged, facts[1])
    assert (found.n_facts, found.brief) == (1, True)
    assert found.seconds is not None and found.memory_bytes is not None
    with pytest.raises(UserError):
        brief(merged, merged.model_copy(update={"id": "too"}))


def test_a_search_for_settings_is_said_before_with_what_it_costs(
    model: Model, facts: tuple[Fact, ...]
) -> None:
    kind = {**UNLEARN, "method": "localized_finetuning"}
    told = [note for note in ask(model, facts, kind).notes if "No learning rate is given" in note]
    assert len(told) == 1 and "3 to 7 trainings" in told[0]
    for options in ({"learning_rate": 1e-3}, {"search": "off"}):
        notes = ask(model, facts, {**kind, "options": options}).notes
        assert not any("No learning rate" in note for note in notes)


@pytest.mark.parametrize("method", ["rome", "memit", "alphaedit"])
def test_what_no_answer_depends_on_is_refused_before_it_is_queued(
    model: Model, facts: tuple[Fact, ...], method: str
) -> None:
    inputs = Inputs(
        out="",
        fact_set=FactSet(name="s", facts=facts),
        mask=Mask(components=(f"blocks.{model.n_layers - 1}.mlp",)),
    )
    kind = {"kind": "unlearn", "method": method, "mask": {"components": inputs.mask.components}}
    for forget, prompt in (("first:3", ""), ("first:2", "The game of {}")):
        chosen = {"set": "s", "forget": forget}
        spec = parse_spec({**kind, "model": model.id, "facts": chosen})
        if prompt:
            ending = tuple(f.model_copy(update={"prompt": prompt}) for f in facts)
            given = inputs.model_copy(update={"fact_set": FactSet(name="s", facts=ending)})
            assert preflight(spec, given, model, brief=True).n_facts == 2
        else:
            with pytest.raises(UserError, match="so nothing would change"):
                preflight(spec, inputs, model, brief=True)
