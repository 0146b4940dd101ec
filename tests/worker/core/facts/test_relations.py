"""The bundled fact relations are well formed and every fact has a neighbourhood."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PATH = ROOT / "worker" / "core" / "facts" / "relations.json"

TEXT = PATH.read_text(encoding="utf-8")
RELATIONS = json.loads(TEXT)["relations"]
FACTS = [(relation, fact) for relation in RELATIONS for fact in relation["facts"]]


def targets_of(relation):
    return Counter(fact["target"] for fact in relation["facts"])


def contains_word(text, word):
    return re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) is not None


@pytest.fixture(params=RELATIONS, ids=lambda relation: relation["name"])
def relation(request):
    return request.param


def test_the_file_is_plain_ascii():
    assert TEXT.isascii()
    assert json.dumps(json.loads(TEXT), ensure_ascii=False).isascii()


def test_there_are_enough_relations_and_facts():
    assert len(RELATIONS) >= 8
    assert len(FACTS) >= 300


def test_relation_names_are_unique():
    names = [relation["name"] for relation in RELATIONS]
    assert len(set(names)) == len(names)


def test_fact_ids_are_unique_slugs():
    ids = [fact["id"] for _, fact in FACTS]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name)] == []


def test_each_relation_and_fact_has_exactly_the_expected_keys():
    for relation in RELATIONS:
        assert set(relation) == {"name", "question", "prompt", "paraphrases", "facts"}
        for fact in relation["facts"]:
            assert set(fact) == {"id", "subject", "target", "edit_target"}
            for value in fact.values():
                assert value and value == value.strip()


def test_templates_have_one_slot_and_end_right_before_the_answer(relation):
    assert len(relation["paraphrases"]) >= 3
    templates = [relation["prompt"], *relation["paraphrases"]]
    assert len(set(templates)) == len(templates)
    for template in templates:
        assert template.count("{}") == 1
        assert template.count("{") == template.count("}") == 1
        assert template[-1].isalpha() or template.endswith("{}"), template
    assert relation["question"].count("{}") == 1
    assert relation["question"].endswith("?")


def test_no_template_contains_one_of_its_targets(relation):
    for template in [relation["question"], relation["prompt"], *relation["paraphrases"]]:
        for target in targets_of(relation):
            assert not contains_word(template, target), (template, target)


def test_a_subject_occurs_once_in_its_relation(relation):
    subjects = Counter(fact["subject"] for fact in relation["facts"])
    assert [subject for subject, count in subjects.items() if count > 1] == []


def test_no_subject_is_a_part_of_another_subject_of_its_relation(relation):
    subjects = [fact["subject"] for fact in relation["facts"]]
    for subject in subjects:
        for other in subjects:
            assert subject == other or not contains_word(other, subject), (subject, other)


def test_the_edit_target_is_another_target_of_the_relation(relation):
    targets = targets_of(relation)
    for fact in relation["facts"]:
        assert fact["edit_target"] != fact["target"], fact
        assert fact["edit_target"] in targets, fact


def test_every_fact_has_at_least_three_other_subjects_with_the_same_target(relation):
    targets = targets_of(relation)
    assert len(targets) >= 2
    assert [target for target, count in targets.items() if count < 4] == []


def test_targets_are_single_words(relation):
    for target in targets_of(relation):
        assert re.fullmatch(r"[A-Za-z]+", target), target


def test_no_subject_contains_its_target_or_edit_target(relation):
    for fact in relation["facts"]:
        subject = fact["subject"].lower()
        assert fact["target"].lower() not in subject, fact
        assert fact["edit_target"].lower() not in subject, fact
