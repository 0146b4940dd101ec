"""Translations and ripples: the bundled sets have them, and a user's file carries its own."""

import json

from worker.contract.facts import FactSet
from worker.core.facts.athletes import fact_set as athletes
from worker.core.facts.json_table import read
from worker.core.facts.relations import fact_set as relations


def test_every_bundled_fact_is_asked_in_german_and_backwards() -> None:
    for fact in (*athletes().facts, *relations().facts):
        for one in fact.translations:
            assert one.language == "de" and one.prompt.count("{}") == 1
            assert one.target and one.edit_target and one.target != one.edit_target
        (back,) = [r for r in fact.ripples if r.kind == "reversed"]
        assert back.target == fact.subject and fact.target in back.prompt
        assert back.edit_prompt == back.prompt.replace(fact.target, fact.edit_target)


def test_what_follows_differs_where_the_answers_differ() -> None:
    entailed = [r for f in relations().facts for r in f.ripples if r.kind == "entailed"]
    assert len(entailed) > 50
    assert all(r.target != r.edit_target for r in entailed)
    assert not any(r.kind == "entailed" for f in athletes().facts for r in f.ripples)


def test_a_file_carries_translations_and_ripples() -> None:
    row = {
        "subject": "Lyon", "prompt": "{} lies in", "target": "France", "edit_target": "Italy",
        "translations": [{"prompt": "{} liegt in", "target": "Frankreich"}, "{} est en"],
        "ripples": [{"kind": "entailed", "prompt": "In Lyon they speak", "target": "French"}],
    }  # fmt: skip
    (fact,) = read(json.dumps([row]).encode(), {}).facts
    assert [t.target for t in fact.translations] == ["Frankreich", ""]
    assert fact.ripples[0].target == "French"
    refused = read(json.dumps([row, row | {"ripples": [{"kind": "odd"}]}]).encode(), {}).refused
    assert "kind" in refused[0].reason


def test_a_set_without_them_keeps_its_hash() -> None:
    fact = athletes().facts[0].model_copy(update={"translations": (), "ripples": ()})
    assert FactSet(name="x", facts=(fact,)).hash == (
        FactSet(name="y", facts=(fact.model_copy(),)).hash
    )
    assert "translations" not in json.dumps(fact.model_dump(exclude_defaults=True))
