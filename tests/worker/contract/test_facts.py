import pytest

from worker.contract.facts import Fact, FactSet


def test_the_hash_follows_the_facts_and_not_the_name() -> None:
    facts = tuple(Fact(id=one, subject=one, prompt="{} is", target="one") for one in "abc")
    known = FactSet(name="s", facts=facts)
    renamed = FactSet(name="other", facts=facts)
    assert renamed.hash == known.hash != FactSet(name="s", facts=facts[:-1]).hash


def test_a_prompt_holds_its_subject_once() -> None:
    with pytest.raises(ValueError, match="expected exactly one"):
        Fact(id="a", subject="a", prompt="no place", target="x")
