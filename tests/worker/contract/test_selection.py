import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet, Ripple, Translation
from worker.contract.known import Known
from worker.contract.selection import FactsSpec, besides, retarget, select


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
    unasked = [fact.id for fact in select(SET, "random:4").forget]
    assert unasked == ids("random:4", 0) != ids("random:4", 1)


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


def test_a_draw_besides_a_rule_takes_none_that_it_chooses_under_its_seeds() -> None:
    words = besides("random:3", (0, 1))
    assert words == "random:* besides random:3@0,1"
    taken = set(ids("random:3", 0)) | set(ids("random:3", 1))
    drawn = ids(words, 5)
    assert len(drawn) == 3 and not taken & set(drawn)
    assert len({tuple(ids(words, seed)) for seed in range(9)}) > 1
    assert len(ids("random:* besides first:5@0")) == 5, "as many are left as are needed"


@pytest.mark.parametrize(
    ("forget", "words"),
    [
        ("random:* besides first:6@0", "4 others are left, and as many as 6 are needed"),
        ("random:* besides first:6", "names no rule and seeds; expected"),
        ("random:* besides first:6@x", "names no rule and seeds; expected"),
        ("random:* besides @0", "names no rule and seeds; expected"),
        ("everything", "or a split (mine)."),
        ("random:11", "from 1 to 10"),
        ('ids:["f2"', "no list of ids"),
        ("ids:f33", "Did you mean 'f3'"),
    ],
)
def test_a_draw_that_cannot_be_made_says_why(forget: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        ids(forget)
    assert words in caught.value.message
    assert [field for field, _ in caught.value.problems] == ["facts.forget"]


def test_ids_may_be_spaced_or_hold_commas_and_a_set_of_some_facts_takes_those_it_has() -> None:
    assert ids(" ids: f2 , f1 ") == ["f1", "f2"]
    assert ids("random:10") == [fact.id for fact in SET.facts]
    odd = FactSet(name="o", facts=(fact("a,b"), fact("c")))
    assert [f.id for f in select(odd, 'ids:["a,b"]').forget] == ["a,b"]
    some = SET.model_copy(update={"facts": SET.facts[:5]})
    chosen = select(some, "random:* besides ids:f1,f9@0", 0).forget
    assert len(chosen) == 1 and chosen[0].id != "f1"


def test_another_edit_target_takes_along_what_was_written_for_the_old_one() -> None:
    kept = Ripple(kind="kept", prompt="p", target="y")
    entailed = Ripple(kind="entailed", prompt="q", target="y")
    old = fact("f").model_copy(
        update={
            "edit_target": "z",
            "edit_aliases": ("Z",),
            "edit_neighbourhood": ("n",),
            "translations": (Translation(prompt="{} ist", target="t", edit_target="z"),),
            "ripples": (entailed, kept),
        }
    )
    spec = FactsSpec(set="s", forget="first:1", edit_to=" golf ")
    [new] = retarget(FactSet(name="s", facts=(old,)), spec).facts
    assert (new.edit_target, new.edit_aliases, new.edit_neighbourhood) == ("golf", (), ())
    assert new.translations == (Translation(prompt="{} ist", target="t"),)
    assert new.ripples == (kept,)
    assert new.target == old.target


def test_a_spec_of_facts_says_only_what_is_unusual() -> None:
    plain = FactsSpec(set="s")
    assert plain.model_dump() == {"set": "s", "forget": "first:16", "edit_to": ""}
    known = FactsSpec(set="s", shot="one", known=Known(rank=1))
    assert set(known.model_dump()) == {"set", "forget", "edit_to", "shot", "known"}
    assert FactsSpec.model_validate(known.model_dump()) == known


@given(st.sampled_from(["first", "random"]), st.integers(1, 10), st.integers(0, 99))
@settings(derandomize=True, max_examples=40)
def test_a_selection_takes_so_many_and_keeps_the_sets_order(rule: str, n: int, seed: int) -> None:
    chosen = select(SET, f"{rule}:{n}", seed)
    assert len(chosen.forget) == n
    order = [fact.id for fact in SET.facts]
    for part in (chosen.forget, chosen.retain):
        assert [f.id for f in part] == sorted((f.id for f in part), key=order.index)
    assert {f.id for f in (*chosen.forget, *chosen.retain)} == set(order)


NAMES = st.lists(st.sampled_from([one.id for one in SET.facts]))
RULES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["first:", "random:x", "group:g", "group:", "ids:", 'ids:["a"]', "ids:["]),
    st.builds("{}:{}".format, st.sampled_from(["first", "random"]), st.integers(-3, 14)),
    st.builds("ids:{}".format, NAMES.map(",".join)),
    st.builds(lambda n, seed: besides(f"random:{n}", [seed]), st.integers(1, 6), st.integers(0, 3)),
)


@given(RULES, st.integers(0, 9))
@settings(derandomize=True, max_examples=80)
def test_any_selection_splits_the_set_in_two_or_is_refused_at_its_field(
    rule: str, seed: int
) -> None:
    try:
        chosen = select(SET, rule, seed)
    except UserError as refused:
        assert {field for field, _ in refused.problems} == {"facts.forget"}
        return
    parts = [fact.id for fact in (*chosen.forget, *chosen.retain)]
    assert sorted(parts) == sorted(fact.id for fact in SET.facts)
    assert chosen == select(SET, rule, seed), "the same under the same seed"
