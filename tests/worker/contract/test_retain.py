"""Retain facts serve for one thing each, in every run alike."""

import random
import string

import pytest

from worker.contract.facts import Fact
from worker.contract.retain import divide
from worker.contract.selection import select
from worker.core.facts.athletes import fact_set


def fact(name: str, relation: str = "sport", prompt: str = "{} plays") -> Fact:
    return Fact(id=f"{name}/{prompt}", subject=name, prompt=prompt, target="x", relation=relation)


def test_no_fact_serves_for_two_things_and_none_is_lost() -> None:
    retain = select(fact_set(), "first:16").retain
    parts = divide(retain)
    assert sorted(f.id for part in parts for f in part) == sorted(f.id for f in retain)
    assert len(parts.tested) / len(retain) == pytest.approx(0.2, abs=0.05)
    assert len(parts.watched) / len(retain) == pytest.approx(0.16, abs=0.05)


def test_a_fact_never_changes_sides_between_runs() -> None:
    """An edit of one selection and an evaluation under another seed and selection still agree."""
    whole = fact_set()
    edited = divide(select(whole, "random:16", seed=3).retain)
    judged = divide(select(whole, "first:64", seed=0).retain)
    assert not {f.id for f in edited.trained + edited.watched} & {f.id for f in judged.tested}
    assert not {f.id for f in edited.trained} & {f.id for f in judged.watched}


def test_two_wordings_of_a_fact_lie_in_one_part() -> None:
    names = [f"Name {i}" for i in range(60)]
    facts = [fact(name, prompt=p) for name in names for p in ("{} plays", "The game of {} is")]
    for part in divide(facts):
        assert all(sum(f.subject == one.subject for f in part) == 2 for one in part)


@pytest.mark.parametrize("n", range(8))
@pytest.mark.parametrize("seed", range(20))
def test_few_facts_are_parted_as_far_as_they_go(n: int, seed: int) -> None:
    rng = random.Random(seed)
    names = ["".join(rng.sample(string.ascii_lowercase, 8)) for _ in range(n)]
    facts = [fact(name) for name in names]
    parts = divide(facts)
    assert sorted(f.id for part in parts for f in part) == sorted(f.id for f in facts)
    filled = {0: (), 1: ("trained",), 2: ("trained", "tested")}
    for name in filled.get(len(facts), ("trained", "tested", "watched")):
        assert getattr(parts, name), (name, names)
