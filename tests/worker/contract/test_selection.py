import pytest

from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.selection import FactsSpec, retarget, select


def fact(name: str, group: str = "g") -> Fact:
    return Fact(id=name, subject=name, prompt="{} is", target="one", group=group)


SET = FactSet(
    name="s",
    facts=tuple(fact(f"f{i}", "even" if i % 2 == 0 else "odd") for i in range(10)),
    splits={"mine": ("f3", "f7")},
)


def ids(forget: str, seed: int = 0) -> list[str]:
    return [f.id for f in select(SET, forget, seed).forget]


@pytest.mark.parametrize(
    ("forget", "expected"),
    [
        ("first:2", ["f0", "f1"]),
        ("group:odd", ["f1", "f3", "f5", "f7", "f9"]),
        ("ids:f4,f2", ["f2", "f4"]),
        ('ids:["f2"]', ["f2"]),
        ("mine", ["f3", "f7"]),
    ],
)
def test_a_selection_gives_the_facts_it_names(forget: str, expected: list[str]) -> None:
    assert ids(forget) == expected


def test_forget_and_retain_share_no_fact_and_lose_none() -> None:
    chosen = select(SET, "random:4", 1)
    both = [f.id for f in (*chosen.forget, *chosen.retain)]
    assert len(both) == len(set(both)) == 10


def test_a_random_selection_depends_on_its_seed_alone() -> None:
    assert ids("random:4", 1) == ids("random:4", 1)
    assert ids("random:4", 1) != ids("random:4", 2)


@pytest.mark.parametrize(
    ("forget", "words"),
    [
        ("first:11", "from 1 to 10"),
        ("first:0", "from 1 to 10"),
        ("first:x", "from 1 to 10"),
        ("group:oddd", "Did you mean 'odd'"),
        ("ids:nobody", "No fact 'nobody'"),
        ("ids:", "at least one id"),
        ("ids:[1]", "no list of ids"),
        ("everything", "expected first:N"),
    ],
)
def test_a_selection_that_cannot_be_followed_says_what_was_expected(
    forget: str, words: str
) -> None:
    with pytest.raises(UserError, match=r".") as caught:
        ids(forget)
    assert words in caught.value.message
    assert caught.value.problems[0][0] == "facts.forget"


def test_a_whole_group_is_edited_to_one_other_answer() -> None:
    facts = tuple(
        Fact(id=f"f{i}", subject="S", prompt="{} plays", target=t, edit_target="x", group=t)
        for i, t in enumerate(("golf", "tennis", "tennis"))
    )
    known = FactSet(name="sports", facts=facts)
    spec = FactsSpec(set="sports", forget="group:tennis", edit_to="golf")
    changed = retarget(known, spec)
    assert [f.edit_target for f in changed.facts] == ["x", "golf", "golf"]
    assert changed.hash != known.hash
    assert retarget(changed, spec) == changed
    assert retarget(known, FactsSpec(set="sports", forget="group:tennis")) is known
    with pytest.raises(UserError, match="1 of the 3 chosen facts have the target 'golf'") as caught:
        retarget(known, FactsSpec(set="sports", forget="first:3", edit_to="golf"))
    assert caught.value.problems[0][0] == "facts.edit_to"
