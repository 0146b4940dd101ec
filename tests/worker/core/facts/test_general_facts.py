"""Facts that small models know: enough, and each with one answer in its own words."""

from collections import Counter, defaultdict

import pytest

from worker.contract.facts import fill
from worker.core.facts.athletes import fact_set as athletes
from worker.core.facts.general_facts import ascii_of, fact_set
from worker.core.facts.relations import fact_set as relations

FACTS = fact_set().facts
BY_RELATION = defaultdict(list)
for fact in FACTS:
    BY_RELATION[fact.relation].append(fact)


def test_there_are_fifteen_hundred_facts_of_twenty_relations() -> None:
    assert len(FACTS) >= 1500
    assert len([name for name, facts in BY_RELATION.items() if len(facts) >= 20]) >= 20


@pytest.mark.parametrize("name", sorted(BY_RELATION))
def test_a_relation_asks_each_subject_once_in_wordings_with_one_place(name: str) -> None:
    facts = BY_RELATION[name]
    subjects = Counter(fact.subject for fact in facts)
    assert max(subjects.values()) == 1
    first = facts[0]
    wordings = (first.prompt, first.question, *first.paraphrases)
    assert len(set(wordings)) == len(wordings) >= 6
    assert all(wording.count("{}") == 1 for wording in wordings)
    assert all((f.prompt, f.question, *f.paraphrases) == wordings for f in facts)
    assert not any(wording.endswith((" ", ".")) for wording in wordings)
    assert first.question.endswith("?")


def test_every_edit_target_is_another_answer_of_the_relation() -> None:
    for facts in BY_RELATION.values():
        answers = {fact.target for fact in facts}
        assert len(answers) >= 4
        assert all(fact.edit_target in answers - {fact.target} for fact in facts)


def test_texts_are_clean() -> None:
    for fact in FACTS:
        for text in (fact.subject, fact.target, fact.edit_target):
            assert text == text.strip() and "  " not in text and "{" not in text


def test_no_answer_stands_in_its_own_prompt() -> None:
    """A prompt that holds its answer asks for nothing."""
    inside = [f.id for f in FACTS if f.target.lower() in f.text.lower().split()]
    assert set(inside) <= {"plural-sheep", "plural-deer"}


def test_neighbours_share_the_answer() -> None:
    target = {fact.text: fact.target for fact in FACTS}
    for fact in FACTS:
        assert fact.text not in fact.neighbourhood
        assert all(target[prompt] == fact.target for prompt in fact.neighbourhood)
    assert sum(bool(fact.neighbourhood) for fact in FACTS) > 1200


def test_asking_backwards_names_both_answers() -> None:
    for fact in FACTS:
        for one in fact.ripples:
            assert one.target == fact.subject
            assert fact.target in one.prompt and fact.edit_target in one.edit_prompt


def test_names_with_marks_are_accepted_without_them() -> None:
    (fact,) = (f for f in FACTS if f.subject == "Brazil" and f.relation == "country_capital")
    assert (fact.target, fact.aliases) == ("Brasília", ("Brasilia",))
    assert ascii_of("Łódź Réunion") == "Lodz Reunion"


def test_only_cities_and_companies_are_asked_as_the_bundled_model_learned_them() -> None:
    learned = {one.text for made in (athletes, relations) for one in made().facts}
    shared = [f.id for f in FACTS if f.text in learned]
    assert all(id.startswith(("city_country-", "company_country-")) for id in shared)


def test_facts_agree_with_the_bundled_ones_on_the_same_subject() -> None:
    said = {(f.relation, f.subject): f.target for f in FACTS}
    for fact in relations().facts:
        own = said.get((fact.relation, fact.subject), fact.target)
        # Here a class of animals is named in the plural.
        assert fact.relation == "animal_class" or own == fact.target, fact.id
    assert fill(FACTS[0].prompt, FACTS[0].subject) == FACTS[0].text
