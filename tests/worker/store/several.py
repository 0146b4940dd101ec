"""Several people on one store, and things that one of them makes."""

from typing import Any

from tests.worker.store.test_acting import FACTS, SPEC
from tests.worker.store.test_masks import MASK
from worker.contract.facts import FactSet
from worker.contract.limits import Limits
from worker.contract.spec import parse_spec
from worker.store.acting import Acting
from worker.store.runs import insert_run
from worker.store.sharing import Made
from worker.store.store import Store


def as_(store: Store, person: str, project: str | None = None, may_open: bool = False) -> Store:
    return store.acting_for(
        Acting(person, may_all=person == "ada", project=project, may_open=may_open)
    )


RULES: dict[str, Any] = {"seats": 2, "lasts": 60.0, "limits": Limits(waiting=3)}
"""What a class has besides title, model and methods."""


def as_guest(store: Store, person: str) -> Store:
    return store.acting_for(Acting(person, may_all=False, is_guest=True))


def make_run(store: Store, seed: int = 0, parents: tuple[str, ...] = ()) -> str:
    with store.database.write() as session:
        named = {"title": "", "tags": ("t",), "parents": parents, "priority": 0}
        spec = parse_spec({**SPEC, "seed": seed})
        return insert_run(session, spec, owner=store.acting.person, **named)


def make(store: Store, name: str) -> dict[Made, str]:
    """One of everything, by whoever the store acts for."""
    return {
        "run": make_run(store),
        "fact set": store.save_fact_set(
            FactSet(name=name, facts=FACTS, splits={"s": ("f1",)})
        ).name,
        "mask": store.save_mask("m", "demo", MASK).id,
        "text": store.save_text(name, "A text.").name,
        "circuit": store.save_circuit(name, "x=1").name,
    }


def all_of(made: dict[Made, str]) -> set[str]:
    return {f"{what} {id}" for what, id in made.items()}
