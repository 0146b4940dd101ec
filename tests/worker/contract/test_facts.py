import hashlib
import json

import pytest

from worker.contract.facts import Fact, FactSet, Ripple, fill


def test_the_hash_follows_the_facts_and_not_the_name() -> None:
    facts = tuple(Fact(id=one, subject=one, prompt="{} is", target="one") for one in "abc")
    known = FactSet(name="s", facts=facts)
    renamed = FactSet(name="other", facts=facts)
    assert renamed.hash == known.hash != FactSet(name="s", facts=facts[:-1]).hash


def test_a_prompt_holds_its_subject_once() -> None:
    with pytest.raises(ValueError, match="expected exactly one"):
        Fact(id="a", subject="a", prompt="no place", target="x")


FACT = {"id": "a", "subject": "Ann", "prompt": "{} is", "target": "x"}


@pytest.mark.parametrize(
    ("ripple", "sound"),
    [
        ({"kind": "kept", "target": "y"}, True),
        ({"kind": "kept", "edit_target": "y"}, False),
        ({"kind": "entailed", "target": "y"}, True),
        ({"kind": "entailed", "edit_target": "y"}, True),
        ({"kind": "entailed"}, False),
        ({"kind": "reversed", "edit_target": "y"}, False),
    ],
)
def test_a_ripple_has_an_answer(ripple: dict[str, str], sound: bool) -> None:
    if sound:
        assert Ripple(prompt="p", **ripple).prompt == "p"
        return
    with pytest.raises(ValueError, match=f"the {ripple['kind']} prompt 'p' has no target"):
        Ripple(prompt="p", **ripple)


@pytest.mark.parametrize("field", ["id", "subject", "prompt", "target"])
def test_what_a_fact_cannot_lack_is_refused_where_it_is_empty(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Fact(**{**FACT, field: ""})


def test_a_target_of_blanks_and_two_places_for_a_subject_are_refused() -> None:
    with pytest.raises(ValueError, match="target of 'a' is empty"):
        Fact(**{**FACT, "target": "  "})
    with pytest.raises(ValueError, match="holds 2 times"):
        Fact(**{**FACT, "prompt": "{} {}"})


def test_a_prompt_is_asked_with_its_subject_and_answers_follow_it() -> None:
    fact = Fact(**{**FACT, "prompt": "{} is "})
    assert fact.text == "Ann is"
    assert fact.follows("tall") == " tall"
    assert fact.model_copy(update={"join": "none"}).follows("tall") == "tall"
    assert fill("{} {}", "a") == "a {}"
    assert fill("whole", "a") == "whole"


def test_what_must_stay_is_what_is_kept_and_who_has_the_edit_target_already() -> None:
    kept = Ripple(kind="kept", prompt="p", target="y")
    entailed = Ripple(kind="entailed", prompt="q", target="y")
    more = {"ripples": (entailed, kept), "edit_neighbourhood": ("Bob is",), "join": "space"}
    assert Fact(**FACT, **more).kept == (kept,), "it is not edited"
    assert Fact(**FACT, **more, edit_target="z").kept == (
        kept,
        Ripple(kind="kept", prompt="Bob is", target="z", join="space"),
    )


def test_a_set_gives_its_join_to_facts_without_one_and_takes_an_id_once() -> None:
    own = Fact(**{**FACT, "id": "b", "join": "none"})
    joined = FactSet(name="s", join="space", facts=(Fact(**FACT), own))
    assert [fact.join for fact in joined.facts] == ["space", "none"]
    plain = FactSet(name="s", facts=(Fact(**FACT), own))
    assert [fact.join for fact in plain.facts] == ["", "none"]
    with pytest.raises(ValueError, match="'s' has ids that occur twice"):
        FactSet(name="s", facts=(own, own))


def hashed(*lines: dict[str, object]) -> str:
    """The SHA-256 of facts' fields as JSON, a fact a line."""
    texts = [json.dumps(line, sort_keys=True, ensure_ascii=False) for line in lines]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


EMPTY: dict[str, object] = dict.fromkeys(("edit_target", "group", "question", "relation"), "")
EMPTY |= {"paraphrases": [], "neighbourhood": []}


def test_a_hash_is_over_the_first_fields_and_over_later_ones_that_are_filled() -> None:
    """So that a set keeps the hash that it had before a field was there."""
    other = {**FACT, "id": "é"}
    made = FactSet(name="s", facts=(Fact(**FACT), Fact(**other, options=("y",))))
    assert made.hash == hashed({**EMPTY, **FACT}, {**EMPTY, **other, "options": ["y"]})


def test_a_hash_is_over_what_is_nested_but_not_over_what_is_empty_there() -> None:
    plain = {"kind": "kept", "prompt": "p", "target": "y"}
    for given, more in (({}, {}), ({"aliases": ("z",)}, {"aliases": ["z"]})):
        fact = Fact(**FACT, ripples=(Ripple(**plain, **given),))
        ripple = {**plain, "edit_target": "", "edit_prompt": "", **more}
        assert FactSet(name="s", facts=(fact,)).hash == hashed(
            {**EMPTY, **FACT, "ripples": [ripple]}
        )


def test_a_pair_is_the_prompt_as_it_is_asked_and_the_answer_as_it_follows() -> None:
    fact = Fact(id="a", subject="Ann", prompt="{} plays", target="golf", edit_target="chess")
    assert fact.pair() == ("Ann plays", " golf")
    assert fact.pair("chess") == ("Ann plays", " chess")
    assert Fact(id="a", subject="A", prompt="{}", target="x").text == "A", "two letters are enough"
