"""Whose things a store changes: a member's own, an admin's any; what was changed is told."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.worker.store.test_masks import MASK
from worker.contract.errors import Forbidden
from worker.contract.facts import Fact, FactSet
from worker.contract.spec import parse_spec
from worker.store.acting import Acting
from worker.store.runs import insert_run
from worker.store.sharing import Made
from worker.store.store import Store

FACTS = tuple(
    Fact(id=f"f{n}", subject=f"S{n}", prompt="{} is", target="a", edit_target="b") for n in "12"
)
SPEC = {"kind": "localize", "model": "demo", "facts": {"set": "s"}, "method": "causal_tracing"}
told: list[str] = []


def acting(store: Store, person: str, may_all: bool = False) -> Store:
    told.clear()
    return store.acting_for(Acting(person, may_all, told.append))


def run(store: Store, owner: str) -> str:
    with store.database.write() as session:
        named = {"owner": owner, "title": "", "tags": (), "parents": None, "priority": 0}
        return insert_run(session, parse_spec(SPEC), **named)


def test_only_ones_own_may_be_changed_unless_one_may_change_all() -> None:
    Acting().refuse_others("max", "mask m")
    Acting("ada", may_all=True).refuse_others("max", "mask m")
    Acting("max", may_all=False).refuse_others("max", "mask m")
    with pytest.raises(Forbidden, match=r"Mask m is max's; .* Ask max or an admin\."):
        Acting("mia", may_all=False).refuse_others("max", "mask m")
    with pytest.raises(Forbidden, match=r"Mask m is nobody's own; .* Ask an admin\."):
        Acting("mia", may_all=False).refuse_others("", "mask m")
    with pytest.raises(Forbidden):
        Acting("", may_all=False).refuse_others("", "mask m")


def test_what_is_made_has_its_makers_name_and_is_changed_by_no_other_member(store: Store) -> None:
    mine = acting(store, "max")
    mask = mine.save_mask("m", "demo", MASK)
    info = mine.save_fact_set(FactSet(name="s", facts=FACTS, splits={"own": ("f1",)}))
    text, circuit = mine.save_text("t", "A text."), mine.save_circuit("c", "x=1")
    of_max = run(store, "max")
    shared: dict[Made, str] = {"mask": mask.id, "fact set": "s", "text": "t", "circuit": "c"}
    for kind, id in shared.items():
        store.share(kind, id, "server")
    assert {mask.owner, info.owner, text.owner, circuit.owner} == {"max"}
    assert told == ["mask m v1", "fact set s", "text t", "circuit c"]
    changes: dict[str, Callable[[Store], object]] = {
        f"run {of_max}": lambda given: given.update_run(of_max, title="x"),
        f"run  {of_max}": lambda given: given.request_cancel(of_max, sa.true()),
        f"run   {of_max}": lambda given: given.delete_run(of_max),
        "split own of s": lambda given: given.save_split("s", "own", []),
        "fact set s": lambda given: given.save_fact_set(FactSet(name="s", facts=FACTS[:1])),
        "fact set  s": lambda given: given.delete_fact_set("s"),
        "mask m v1": lambda given: given.delete_mask(mask.id),
        "text t": lambda given: given.delete_text("t"),
        "circuit c": lambda given: given.delete_circuit("c"),
    }
    other = acting(store, "mia")
    for what, change in changes.items():
        with pytest.raises(Forbidden, match=f"{what[0].upper()}{what[1:].split()[0]}.*max's"):
            change(other)
    assert told == []
    assert store.run(of_max).title != "x" and store.fact_set("s").splits == {"own": ("f1",)}
    admin = acting(store, "ada", may_all=True)
    for change in changes.values():
        change(admin)
    assert told == [" ".join(what.split()) for what in changes]


def test_another_version_of_a_mask_is_its_savers(store: Store) -> None:
    first = acting(store, "max").save_mask("m", "demo", MASK)
    store.share("mask", first.id, "server")
    mia = acting(store, "mia")
    second = mia.save_mask("m", "demo", MASK)
    assert (second.version, second.owner) == (2, "mia")
    mia.delete_mask(second.id)


def test_everybody_saves_splits_of_a_bundled_set_and_changes_their_own(store: Store) -> None:
    store.save_fact_set(FactSet(name="s", facts=FACTS), bundled=True)
    acting(store, "max").save_split("s", "of max", ["f1"])
    mia = acting(store, "mia")
    mia.save_split("s", "of mia", ["f2"])
    with pytest.raises(Forbidden, match="Split of max of s is max's"):
        mia.save_split("s", "of max", ["f2"])
    mia.save_split("s", "of mia", ["f1"])
    store.save_fact_set(FactSet(name="s", facts=FACTS, title="Anew"), bundled=True)
    with pytest.raises(Forbidden, match="is max's"):
        mia.save_split("s", "of max", [])
    mia.save_split("s", "of mia", [])
    assert store.fact_set("s").splits == {"of max": ("f1",)}


def test_whose_a_set_is_may_change_every_split_of_it(store: Store) -> None:
    acting(store, "max").save_fact_set(FactSet(name="s", facts=FACTS))
    store.share("fact set", "s", "server")
    acting(store, "mia").save_split("s", "of mia", ["f1"])
    acting(store, "max").save_split("s", "of mia", [])
    assert store.fact_set("s").splits == {}
