"""What is known is measured right, and chooses what is forgotten and retained."""

import math
from pathlib import Path

import pytest

from tests.worker.core.asking.next_logits import next_logits
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs
from worker.contract.known import Known, Recalled
from worker.contract.progress import Quiet
from worker.contract.selection import FactsSpec
from worker.contract.shots import forgotten, possible_answers, with_shots
from worker.contract.spec import EvaluateSpec, UnlearnSpec, parse_spec
from worker.core.asking.about import resolve_facts
from worker.core.asking.known import choose_known
from worker.core.asking.recall import askable, recall
from worker.core.asking.scoring import score_answers
from worker.core.findings import Findings
from worker.core.models.cache import ModelCache
from worker.core.models.model import Model
from worker.run import run


def told(probability: float, rank: int = 1, share: float = 0.5, place: int = 1) -> Recalled:
    return Recalled(probability=probability, rank=rank, share=share, place=place)


@pytest.fixture
def fact_set(facts: tuple[Fact, ...]) -> FactSet:
    return FactSet(name="games", facts=facts, splits={"two": ("f1", "f2")})


@pytest.fixture
def measured(facts: tuple[Fact, ...]) -> dict[str, dict[str, Recalled]]:
    """Facts 0, 3 and 6 are not known; of the others number 4 only among the answers."""
    alone = {f.id: told(0.9) for f in facts}
    alone |= {f"f{i}": told(0.01, rank=9, share=0.1, place=3) for i in (0, 3, 6)}
    alone["f4"] = told(0.2, rank=4, share=0.8)
    return {"none": alone}


def choose(model: Model, fact_set: FactSet, measured: dict, seed: int = 0, **spec: object):
    asked = FactsSpec(set="games", **spec)  # type: ignore[arg-type]
    return choose_known(model, fact_set, asked, seed, retains=True, measured=measured)


def ids(facts: tuple[Fact, ...]) -> list[str]:
    return [fact.id for fact in facts]


def test_a_fact_is_recalled_as_a_full_softmax_says(model: Model, facts: tuple[Fact, ...]) -> None:
    answers = possible_answers(facts)
    found = recall(model, facts, answers, 64, lambda share: None)
    for fact, one in zip(facts, found, strict=True):
        scores = score_answers(
            model, [(fact.text, fact.follows(a)) for a in ("tennis", "rowing", "chess")]
        )
        log_probs = next_logits(model, [fact.text]).log_softmax(-1)[0]
        own = score_answers(model, [(fact.text, fact.follows(fact.target))])
        assert one.probability == pytest.approx(float(own.log_prob.exp()), rel=1e-4)
        assert one.rank == int(own.rank) + 1
        first = [math.exp(x) for x in scores.first_log_prob.tolist()]
        mine = math.exp(float(own.first_log_prob))
        assert one.share == pytest.approx(mine / sum(first), rel=1e-4)
        assert one.place == 1 + sum(p > mine * 1.0001 for p in first)
        assert one.says == model.tokenizer.decode([int(log_probs.argmax())])


def test_answers_that_begin_alike_divide_their_share_by_their_whole_probability(
    model: Model, facts: tuple[Fact, ...]
) -> None:
    fact = facts[0].model_copy(update={"relation": "", "target": "tennis"})
    answers = {fact.prompt: ("tennis", "tennis court", "chess")}
    (one,) = recall(model, [fact], answers, 64, lambda share: None)
    pairs = [(fact.text, f" {answer}") for answer in answers[fact.prompt]]
    scores = score_answers(model, pairs)
    whole, first = scores.log_prob.exp().tolist(), scores.first_log_prob.exp().tolist()
    alike = whole[0] / (whole[0] + whole[1])
    assert one.share == pytest.approx(alike * first[0] / (first[0] + first[2]), rel=1e-4)


def test_what_cannot_be_asked_is_left_out_with_the_reason(
    model: Model, facts: tuple[Fact, ...]
) -> None:
    odd = facts[0].model_copy(update={"id": "odd", "prompt": "word " * 140 + "{} is"})
    usable, left_out = askable(model, [*facts[:2], odd])
    assert ids(tuple(usable)) == ["f0", "f1"]
    assert [out.id for out in left_out] == ["odd"] and "reads at most" in left_out[0].reason


def test_what_is_known_restricts_forget_and_retain(model, fact_set, measured) -> None:
    found = choose(model, fact_set, measured, forget="first:2", known=Known())
    assert ids(found.selection.forget) == ["f1", "f2"]
    assert ids(found.selection.retain) == ["f5", "f7"]
    assert found.left_out[0].reason.startswith("4 of 8 facts are not known")


def test_known_may_mean_among_the_answers_or_up_to_a_rank(model, fact_set, measured) -> None:
    among = Known(among="answers", probability=0.5)
    found = choose(model, fact_set, measured, forget="first:3", known=among)
    assert ids(found.selection.forget) == ["f1", "f2", "f4"]
    ranked = Known(probability=0.0, rank=4)
    found = choose(model, fact_set, measured, forget="first:3", known=ranked)
    assert ids(found.selection.forget) == ["f1", "f2", "f4"]
    every = choose(model, fact_set, measured, forget="first:3", known=Known(probability=0))
    assert ids(every.selection.forget) == ["f0", "f1", "f2"] and not every.left_out


def test_random_facts_are_drawn_among_the_known(model, fact_set, measured) -> None:
    drawn = [
        ids(
            choose(
                model, fact_set, measured, seed, forget="random:2", known=Known()
            ).selection.forget
        )
        for seed in range(8)
    ]
    assert {id for some in drawn for id in some} == {"f1", "f2", "f5", "f7"}


@pytest.mark.parametrize("rule", ["ids:f0,f1", "two"])
def test_named_facts_that_are_not_known_are_left_out_by_name(
    model, fact_set, measured, rule: str
) -> None:
    measured["none"]["f2"] = told(0.1)
    found = choose(model, fact_set, measured, forget=rule, known=Known())
    assert ids(found.selection.forget) == ["f1"]
    assert "f0" not in ids(found.selection.retain)
    named = {"ids:f0,f1": "f0", "two": "f2"}[rule]
    assert [out.id for out in found.left_out] == ["not known", named]


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"forget": "first:5"}, "facts.forget", "1 to 4. The model knows 4 of the 8 facts"),
        ({"forget": "ids:f0,f3"}, "facts.known", "knows none of the chosen facts"),
        (
            {"forget": "first:1", "known": Known(probability=1)},
            "facts.known",
            "none of the 8 facts",
        ),
    ],
)
def test_too_few_known_facts_are_refused_beside_the_field(
    model, fact_set, measured, spec, field: str, words: str
) -> None:
    with pytest.raises(UserError, match=words) as error:
        choose(model, fact_set, measured, **({"known": Known()} | spec))
    assert error.value.problems[0][0] == field


def test_unknown_facts_are_not_retained_unasked(model, fact_set, measured) -> None:
    found = choose(model, fact_set, measured, forget="first:1")
    assert ids(found.selection.forget) == ["f0"], "what was chosen is forgotten"
    assert ids(found.selection.retain) == ["f1", "f2", "f4", "f5", "f7"]
    (out,) = found.left_out
    assert out.id == "retain" and "2 of 7 facts are not retained" in out.reason
    asked = choose(model, fact_set, measured, forget="first:1", known=Known(probability=0))
    assert len(asked.selection.retain) == 7
    bundled = Model("demo", model.hf, model.tokenizer)
    assert len(choose(bundled, fact_set, measured, forget="first:1").selection.retain) == 7


def test_a_model_that_was_not_measured_is_asked(model, fact_set) -> None:
    odd = fact_set.facts[0].model_copy(update={"id": "odd", "target": "golf"})
    more = fact_set.model_copy(update={"facts": (*fact_set.facts, odd)})
    found = choose(model, more, {}, forget="first:8", known=Known())
    assert ids(found.selection.forget) == ids(fact_set.facts), "it was taught these"
    assert found.selection.retain == ()


def test_a_shot_is_another_fact_of_the_relation_and_is_neither_forgotten_nor_retained(
    fact_set,
) -> None:
    alone = fact_set.facts[0].model_copy(update={"id": "alone", "relation": "other"})
    asked = with_shots(fact_set.model_copy(update={"facts": (*fact_set.facts, alone)}))
    assert "f7" not in ids(asked.facts)
    last = fact_set.facts[7]
    assert asked.facts[0].text == f"{last.text} {last.target}\n{fact_set.facts[0].text}"
    assert asked.facts[-1] == alone
    named = with_shots(fact_set, frozenset({"f7", "f6"}))
    assert "f5" not in ids(named.facts) and {"f6", "f7"} <= set(ids(named.facts))
    every = with_shots(fact_set, frozenset(ids(fact_set.facts)))
    assert every.facts == fact_set.facts


def test_a_shot_is_taken_where_more_is_known_after_it(model, fact_set, measured) -> None:
    better = {id: told(0.9) for id in measured["none"]}
    both = {**measured, "one": better}
    found = choose(model, fact_set, both, forget="first:2", shot="best", known=Known())
    assert found.shot and ids(found.selection.forget) == ["f0", "f1"]
    assert found.selection.forget[0].text.count("\n") == 1
    assert "0.43 are known alone and 1.00 after another fact" in found.notes[0]
    worse = {**measured, "one": {id: told(0.1) for id in better}}
    found = choose(model, fact_set, worse, forget="first:2", shot="best", known=Known())
    assert not found.shot and ids(found.selection.forget) == ["f1", "f2"]


def test_a_spec_is_resolved_to_the_ids_that_were_chosen(model, fact_set, measured) -> None:
    spec = parse_spec(
        {
            "kind": "unlearn",
            "model": "tiny",
            "facts": {"set": "games", "forget": "first:2", "shot": "one", "known": {}},
            "mask": {"components": ["blocks.0.mlp"]},
        }
    )
    given = Inputs(out="", fact_set=fact_set, recalled={"one": measured["none"]})
    found = resolve_facts(spec, given, model)
    assert isinstance(found.spec, UnlearnSpec)
    assert found.spec.facts.forget == 'ids:["f1", "f2"]'
    assert found.inputs.fact_set is not None
    assert ids(found.inputs.fact_set.facts) == ["f1", "f2", "f5"]
    findings = Findings()
    found.note(findings)
    assert (findings.forget, findings.shot) == (("f1", "f2"), True)
    assert findings.left_out


def test_an_edit_without_a_known_fact_to_retain_is_refused_with_the_cure(model, fact_set) -> None:
    spec = parse_spec(
        {
            "kind": "unlearn",
            "model": "tiny",
            "facts": {"set": "games", "forget": "first:2"},
            "mask": {"components": ["blocks.0.mlp"]},
        }
    )
    unknown = {"none": {fact.id: told(0.01) for fact in fact_set.facts}}
    given = Inputs(out="", fact_set=fact_set, recalled=unknown)
    with pytest.raises(UserError, match=r"No fact is left to be retained.*a probability of 0"):
        resolve_facts(spec, given, model)
    every = spec.facts.model_copy(update={"known": Known(probability=0)})
    found = resolve_facts(spec.model_copy(update={"facts": every}), given, model)
    assert found.inputs.fact_set is not None and len(found.inputs.fact_set.facts) == 8


def test_nobody_is_asked_before_a_run_for_more_than_is_quick(model, fact_set) -> None:
    facts = FactsSpec(set="games", forget="first:2", known=Known())
    spec = EvaluateSpec(facts=facts, model="tiny")
    found = resolve_facts(spec, Inputs(out="", fact_set=fact_set), model, most=7)
    assert (found.later, found.spec) == (8, spec)


def test_a_run_says_which_facts_it_forgot_and_they_are_found_again(
    model: Model, fact_set, measured, tmp_path: Path
) -> None:
    model.hf.save_pretrained(tmp_path / "tiny")
    model.tokenizer.save_pretrained(tmp_path / "tiny")
    spec = parse_spec(
        {
            "kind": "evaluate",
            "model": "tiny",
            "facts": {"set": "games", "forget": "first:2", "shot": "one", "known": {"rank": 1}},
            "evaluations": ["probes"],
            "options": {"probes": {"formats": ["statement"]}},
        }
    )
    given = Inputs(out=str(tmp_path / "o"), fact_set=fact_set, recalled={"one": measured["none"]})
    result = run(spec, given, Quiet(), ModelCache(roots=[tmp_path]))
    made = result.provenance
    assert (made.forget, made.shot) == (("f1", "f2"), True)
    assert made.fact_set_hash == fact_set.hash
    assert any(out.id == "not known" for out in result.left_out)
    again = forgotten(fact_set, spec.facts, spec.seed, made)
    assert ids(again) == ["f1", "f2"] and "\n" in again[0].text
