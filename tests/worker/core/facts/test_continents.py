"""Places and their continents: well formed, one continent each, in many wordings."""

from collections import Counter

import numpy as np
import pytest

from worker.contract.facts import fill
from worker.contract.selection import Selection
from worker.core.asking.formats import ask
from worker.core.asking.setting import setting
from worker.core.facts.continents import GERMAN, IN_GERMAN, fact_set
from worker.core.facts.relations import fact_set as relations
from worker.core.models.prompts import encode_fact

FACTS = fact_set().facts
ACROSS = {"Russia", "Turkey", "Kazakhstan", "Azerbaijan", "Georgia", "Egypt", "Armenia", "Cyprus"}


def test_about_250_places_lie_on_five_continents() -> None:
    counts = Counter(fact.target for fact in FACTS)
    assert len(FACTS) >= 240
    assert set(counts) == set(IN_GERMAN) and min(counts.values()) >= 20
    assert max(counts.values()) / len(FACTS) < 0.27


def test_no_place_is_in_the_shot_or_on_two_continents() -> None:
    subjects = [fact.subject for fact in FACTS]
    assert len(set(subjects)) == len(subjects)
    assert not {"France", *ACROSS} & set(subjects)


def test_every_edit_goes_to_another_continent_and_they_share_the_edits_evenly() -> None:
    goals = Counter((fact.target, fact.edit_target) for fact in FACTS)
    assert all(target != edit and edit in IN_GERMAN for target, edit in goals)
    for continent in IN_GERMAN:
        of_one = [n for (target, _), n in goals.items() if target == continent]
        assert len(of_one) == 4 and max(of_one) - min(of_one) <= 1


def test_a_place_is_asked_in_twelve_formats_and_more() -> None:
    for fact in FACTS:
        wordings = {fact.prompt, fact.question, *fact.paraphrases}
        assert len(wordings) == len(fact.paraphrases) + 2 >= 17
        assert all("{}" in w or w.startswith(fact.prompt.partition("{}")[0]) for w in wordings)
        assert not any(w.startswith("{}") for w in wordings), "a name with `the` begins no sentence"


def test_other_names_are_asked_and_stand_among_the_wordings_that_are_trained_on() -> None:
    (burma,) = (fact for fact in FACTS if fact.subject == "Myanmar")
    other = fill(burma.prompt, "Burma")
    how = setting(Selection(forget=(burma,), retain=()), wordings=100)
    names = ("paraphrase", "paraphrase_held_out")
    asked = {name: {one.prompt for one in ask(name, burma, how)} for name in names}
    assert other in asked["paraphrase"] and len(asked["paraphrase_held_out"]) == 6
    assert sum(len(fact.paraphrases) > 15 for fact in FACTS) >= 25


def test_neighbours_share_the_continent_and_are_others() -> None:
    target = {fill(fact.prompt, fact.subject): fact.target for fact in FACTS}
    for fact in FACTS:
        assert len(set(fact.neighbourhood)) == 5 and fact.text not in fact.neighbourhood
        assert {target[prompt] for prompt in fact.neighbourhood} == {fact.target}


def test_every_place_has_its_german_name_and_is_asked_backwards() -> None:
    seen = {fact.translations[0].prompt for fact in FACTS}
    assert len(seen) == len(FACTS)
    for fact in FACTS:
        (german,), (back,) = fact.translations, fact.ripples
        assert german.prompt.startswith(GERMAN.partition("{}")[0])
        assert german.target == IN_GERMAN[fact.target]
        assert (back.kind, back.target) == ("reversed", fact.subject)
        assert fact.target in back.prompt and fact.edit_target in back.edit_prompt


def test_side_effects_take_them_for_the_bundled_relation_that_asks_the_same() -> None:
    bundled = {f.subject: f.target for f in relations().facts if f.relation == "country_continent"}
    assert {fact.relation for fact in FACTS} == {"country_continent"}
    shared = [fact for fact in FACTS if fact.subject in bundled]
    assert len(shared) > 15
    assert all(bundled[fact.subject] == fact.target for fact in shared)


@pytest.mark.slow
def test_a_real_model_knows_most_of_them(real_model) -> None:
    from tests.worker.core.asking.next_logits import next_logits
    from worker.core.asking.rows import statements
    from worker.core.models.tokens import answer_ids

    facts = FACTS[::3]
    asks = statements(facts)
    for fact in facts[:5]:
        encode_fact(real_model, fact)
    first = {c: answer_ids(real_model, asks[0].prompt, f" {c}")[0] for c in sorted(IN_GERMAN)}
    logits = next_logits(real_model, [one.prompt for one in asks])[:, list(first.values())]
    said = np.array(sorted(IN_GERMAN))[logits.argmax(1).numpy()]
    assert np.mean(said == np.array([fact.target for fact in facts])) > 0.75
