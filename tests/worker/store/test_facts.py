import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact, FactSet
from worker.store.store import Store


def fact(number: int, **more: object) -> Fact:
    return Fact(
        id=f"f{number}",
        subject=f"Person Number {number}",
        prompt="The mother tongue of {} is",
        target="French",
        group="abc"[number % 3],
        **more,
    )


def a_set(n: int, name: str = "mine", **more: object) -> FactSet:
    return FactSet(name=name, facts=tuple(fact(i) for i in range(n)), **more)


def test_a_fact_set_comes_back_as_it_was_with_its_hash(store: Store) -> None:
    facts = (fact(1, paraphrases=("What does {} speak? é\n",), question="“Q”?"), fact(0))
    given = FactSet(name="mine", title="Mine", facts=facts, splits={"test": ("f0",)})
    info = store.save_fact_set(given, owner="ann")
    assert store.fact_set("mine") == given
    assert info.hash == given.hash
    assert (info.n_facts, info.groups, info.splits) == (2, ("a", "b"), ("test",))
    assert store.fact_sets() == [info]


def test_a_page_of_facts_is_found_by_words_group_and_offset(store: Store) -> None:
    store.save_fact_set(a_set(30))
    page, total = store.facts_page("mine", limit=4, offset=10)
    assert ([f.id for f in page], total) == (["f10", "f11", "f12", "f13"], 30)
    page, total = store.facts_page("mine", search="TONGUE number 2", limit=3)
    assert ([f.id for f in page], total) == (["f2", "f12", "f20"], 12)
    page, total = store.facts_page("mine", group="b", limit=2)
    assert ([f.id for f in page], total) == (["f1", "f4"], 10)
    assert store.facts_page("mine", search="100%_") == ([], 0)


def test_what_is_cut_of_a_set_is_read_alone(store: Store) -> None:
    store.save_fact_set(a_set(3))
    whole = store.fact_set("mine").facts
    kept = ("id", "subject", "prompt", "target", "edit_target")
    for first, n in ((0, 3), (1, 1), (9, 3)):
        bare = store.bare_fact_set("mine", first).facts
        assert bare == tuple(Fact(**{k: getattr(f, k) for k in kept}) for f in whole[:n])
    assert len(store.bare_fact_set("mine").facts) == 3, "all, where no number is given"
    with pytest.raises(NotFound, match="mine"):
        store.bare_fact_set("mind")


def test_twenty_two_thousand_facts_are_imported_and_paged_in_time(store: Store) -> None:
    """In time of the processor, which other work on the machine does not lengthen."""
    begun = time.process_time()
    store.save_fact_set(a_set(22_000))
    assert time.process_time() - begun < 10
    store.facts_page("mine")
    begun = time.process_time()
    page, total = store.facts_page("mine", search="number 2199")
    assert time.process_time() - begun < 0.1
    assert (page[-1].id, total) == ("f21999", 12)
    begun = time.process_time()
    page, total = store.facts_page("mine", limit=30, offset=21_990)
    assert time.process_time() - begun < 0.02, "without a search nothing else is read"
    assert ([one.id for one in page], total) == ([f"f{i}" for i in range(21_990, 22_000)], 22_000)
    assert store.facts_page("mine", limit=30, offset=22_000) == ([], 22_000)
    store.save_split("mine", "half", [f"f{i}" for i in range(11_000)])
    store.split_sizes("mine")
    begun = time.process_time()
    assert store.split_sizes("mine") == {"half": 11_000}
    assert time.process_time() - begun < 0.1


def test_a_set_is_replaced_under_its_name_and_keeps_the_splits_that_still_hold(
    store: Store,
) -> None:
    store.save_fact_set(a_set(5))
    store.save_split("mine", "early", ["f0", "f1"])
    store.save_split("mine", "late", ["f4"])
    info = store.save_fact_set(a_set(3))
    assert (info.n_facts, info.splits) == (3, ("early",))
    assert store.fact_set("mine").splits == {"early": ("f0", "f1")}
    store.save_split("mine", "early", [])
    assert store.fact_set("mine").splits == {}


def test_a_bundled_set_is_synced_and_neither_replaced_nor_deleted(store: Store) -> None:
    store.sync_bundled(a_set(3, "athletes"))
    store.sync_bundled(a_set(4, "athletes"))
    assert store.fact_set("athletes").hash == a_set(4).hash
    with pytest.raises(UserError, match="bundled"):
        store.save_fact_set(a_set(2, "athletes"))
    with pytest.raises(UserError, match="bundled"):
        store.delete_fact_set("athletes")
    store.save_fact_set(a_set(2))
    store.sync_bundled(a_set(3))
    assert store.fact_sets()[1].n_facts == 2, "a set that somebody brought stays"


def test_bundled_sets_are_synced_by_several_workers_at_once(store: Store) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(store.sync_bundled, [a_set(50, "athletes")] * 6))
    assert store.facts_page("athletes")[1] == 50


def test_what_is_wrong_with_a_set_or_a_split_is_said(store: Store) -> None:
    store.save_fact_set(a_set(2))
    with pytest.raises(NotFound, match="mine"):
        store.fact_set("mien")
    with pytest.raises(UserError, match="f1"):
        store.save_split("mine", "test", ["f11"])
    with pytest.raises(UserError, match="first:16"):
        store.save_split("mine", "ids:a", ["f1"])
    with pytest.raises(UserError, match="no fact"):
        store.save_fact_set(FactSet(name="none", facts=()))
    with pytest.raises(UserError, match="NUL"):
        store.save_fact_set(FactSet(name="nul", facts=(fact(1, relation="a\0b"),)))
    with pytest.raises(UserError, match="half of a character"):
        store.save_fact_set(FactSet(name="half", facts=(fact(1, relation="\ud800"),)))
    store.delete_fact_set("mine")
    assert store.fact_sets() == []


def test_a_set_that_is_read_again_is_not_parsed_again_and_never_stale(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def facts(question: str, n: int = 3) -> FactSet:
        made = (
            Fact(id=f"f{i}", subject=f"A{i}", prompt="{} is", target="x", question=question)
            for i in range(n)
        )
        return FactSet(name="again", facts=tuple(made))

    store.save_fact_set(facts("Who?"))
    first = store.fact_set("again")
    assert store.fact_set("again").facts[0] is first.facts[0]
    store.save_split("again", "few", ["f0"])
    assert store.fact_set("again").splits == {"few": ("f0",)}
    store.save_fact_set(facts("What?"))
    assert [fact.question for fact in store.fact_set("again").facts] == ["What?"] * 3
    store.save_fact_set(facts("What?", 5))
    assert len(store.fact_set("again").facts) == 5
    store.delete_fact_set("again")
    with pytest.raises(NotFound):
        store.fact_set("again")


def test_a_set_that_is_read_again_has_the_very_same_facts_also_under_other_splits(
    store: Store,
) -> None:
    store.save_fact_set(a_set(5))
    first = store.fact_set("mine")
    store.save_split("mine", "mine", ["f1"])
    again = store.fact_set("mine")
    assert again.facts is first.facts and again.splits == {"mine": ("f1",)}
    store.save_fact_set(a_set(6))
    assert store.fact_set("mine").facts == a_set(6).facts
