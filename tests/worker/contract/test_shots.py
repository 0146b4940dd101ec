"""A prompt after another fact of its relation, and the answers that a relation has."""

from worker.contract.facts import Fact, FactSet
from worker.contract.result import Provenance
from worker.contract.selection import FactsSpec
from worker.contract.shots import as_asked, forgotten, named_ids, possible_answers, with_shots


def fact(id: str, relation: str, target: str) -> Fact:
    prompt = "{} is in" if relation == "place" else "{} speaks"
    return Fact(id=id, subject=id.upper(), prompt=prompt, relation=relation, target=target)


FACTS = (
    fact("a", "place", "Rome"),
    fact("b", "place", "Paris"),
    fact("c", "place", "Rome"),
    fact("d", "speech", "Dutch"),
)
SET = FactSet(name="s", facts=FACTS, splits={"mine": ("c",), "first": ("b",)})


def asked(fact_set: FactSet) -> dict[str, str]:
    return {one.id: one.text for one in fact_set.facts}


def made(**fields: object) -> Provenance:
    base = {"model": "m", "weights_hash": "h", "seed": 0, "device": "cpu", "dtype": "f"}
    return Provenance(**{**base, "versions": {}, **fields})


def test_each_relations_answers_are_listed_once_in_their_order() -> None:
    bare = Fact(id="e", subject="E", prompt="{} eats", target="fish")
    assert possible_answers((*FACTS, bare)) == {
        "place": ("Rome", "Paris"),
        "speech": ("Dutch",),
        "{} eats": ("fish",),
    }


def test_the_last_fact_of_a_relation_stands_before_its_others_and_is_asked_no_more() -> None:
    assert asked(with_shots(SET)) == {
        "a": "C is in Rome\nA is in",
        "b": "C is in Rome\nB is in",
        "d": "D speaks",
    }


def test_a_fact_that_is_named_is_no_shot() -> None:
    assert asked(with_shots(SET, frozenset("c"))) == {
        "a": "B is in Paris\nA is in",
        "c": "B is in Paris\nC is in",
        "d": "D speaks",
    }
    assert with_shots(SET, frozenset("abcd")) == SET


def test_a_fact_whose_text_holds_a_place_for_a_subject_is_no_shot() -> None:
    odd = fact("z", "place", "{}")
    texts = asked(with_shots(FactSet(name="s", facts=(*FACTS, odd))))
    assert texts["a"] == "C is in Rome\nA is in"
    assert texts["z"] == "C is in Rome\nZ is in"


def test_what_a_selection_counts_names_nobody() -> None:
    named = {
        forget: sorted(named_ids(SET, FactsSpec(set="s", forget=forget), 0))
        for forget in ("first:2", "random:2", "ids:a,b", "mine", "first")
    }
    assert named == {
        "first:2": [],
        "random:2": [],
        "ids:a,b": ["a", "b"],
        "mine": ["c"],
        "first": ["b"],
    }


def test_a_set_is_asked_with_the_edit_targets_of_a_spec_and_with_shots_where_wanted() -> None:
    spec = FactsSpec(set="s", forget="ids:a", edit_to="Oslo")
    bare = as_asked(SET, spec, 0, shot=False)
    assert [one.edit_target for one in bare.facts] == ["Oslo", "", "", ""]
    assert asked(bare)["a"] == "A is in"
    assert asked(as_asked(SET, spec, 0, shot=True))["a"] == "C is in Rome\nA is in"


def test_what_a_run_forgot_is_what_its_result_names_else_what_its_spec_selects() -> None:
    spec = FactsSpec(set="s", forget="first:2")
    assert [one.id for one in forgotten(SET, spec, 0, None)] == ["a", "b"]
    assert [one.text for one in forgotten(SET, spec, 0, made(shot=True))] == [
        "C is in Rome\nA is in",
        "C is in Rome\nB is in",
    ]
    chosen = forgotten(SET, spec, 0, made(forget=("d", "a")))
    assert [one.id for one in chosen] == ["a", "d"]
    assert chosen[0].text == "A is in"
