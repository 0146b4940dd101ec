"""Whose turn it is."""

import pytest
import sqlalchemy as sa

from worker.contract.selection import FactsSpec
from worker.contract.spec import ExploreSpec, LocalizeSpec, Spec
from worker.engine.study.built_in import built_in_study
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.tables import Run
from worker.store.turns import Waiting, in_turn, places

LOCALIZE = LocalizeSpec(facts=FactsSpec(set="tiny"), method="m")
LOOK = ExploreSpec(view="v")


def runs(*said: str, priority: int = 10) -> list[Waiting]:
    """`a:localize` is a run of session a; each is submitted a second after the last."""
    return [
        Waiting(f"{number}", *one.split(":"), priority, float(number), False)
        for number, one in enumerate(said)
    ]


def order(found: list[Waiting], known: dict[tuple[str, str], float] | None = None) -> list[int]:
    return [int(run.id) for run in in_turn(found, known or {})]


def test_two_sessions_take_turns_however_many_runs_one_has() -> None:
    many = ["a:localize"] * 30 + ["b:localize"] * 2
    assert order(runs(*many))[:5] == [0, 30, 1, 31, 2]
    served = {("a", "localize"): 100.0}
    assert order(runs(*many), served)[:4] == [30, 0, 31, 1], "b was never served"


def test_of_two_who_were_never_served_the_older_run_comes_first() -> None:
    assert order(list(reversed(runs("a:localize", "b:localize")))) == [0, 1]


def test_the_kinds_of_one_session_take_turns_so_that_none_starves() -> None:
    many = ["a:explore"] * 30 + ["a:unlearn"] * 2
    assert order(runs(*many))[:4] == [0, 30, 1, 31]
    assert order(runs(*many), {("a", "explore"): 5.0})[:3] == [30, 0, 31]


def test_a_session_is_served_by_its_own_last_time_whatever_kind_that_was() -> None:
    served = {("a", "explore"): 9.0, ("a", "localize"): 1.0, ("b", "localize"): 5.0}
    assert order(runs("a:localize", "b:localize"), served) == [1, 0]


def test_priority_counts_among_the_runs_of_one_session_and_kind_and_then_age() -> None:
    late, soon = runs("a:localize", "a:localize")
    soon = Waiting(soon.id, "a", "localize", 1, soon.created, False)
    assert order([late, soon]) == [1, 0]


def test_a_run_that_was_begun_before_comes_first() -> None:
    found = runs("a:localize", "b:localize", "b:localize")
    begun = Waiting("2", "b", "localize", 99, 2.0, True)
    assert order([*found[:2], begun], {("b", "localize"): 99.0}) == [2, 0, 1]


@pytest.mark.parametrize("n_sessions", [1, 2, 7])
def test_every_waiting_run_comes_exactly_once(n_sessions: int) -> None:
    kinds = ("localize", "unlearn", "explore")
    found = runs(*(f"{n % n_sessions}:{kinds[n % 3]}" for n in range(60)))
    assert sorted(order(found)) == list(range(60))


def add(store: Store, spec: Spec, browser: str, taken: float | None = None) -> str:
    with store.database.write() as session:
        id = insert_run(
            session, spec, owner="", title="", tags=(), parents=None, priority=10, browser=browser
        )
        session.execute(sa.update(Run).where(Run.id == id).values(taken=taken))
    return id


def test_a_run_knows_its_place_among_the_turns_of_other_sessions(store: Store) -> None:
    mine = [add(store, LOCALIZE, "a") for _ in range(3)]
    theirs = add(store, LOOK, "b")
    assert [store.run(id).ahead for id in mine] == [0, 2, 3]
    assert store.run(theirs).ahead == 1
    served = add(store, LOCALIZE, "a", taken=50.0)
    with store.database.write() as session:
        session.execute(sa.update(Run).where(Run.id == served).values(state="done"))
    assert [store.run(id).ahead for id in (theirs, *mine)] == [0, 1, 2, 3]
    assert store.run(served).ahead == 0


def test_a_run_whose_first_attempt_was_interrupted_has_had_its_turn(store: Store) -> None:
    first, begun = (add(store, LOCALIZE, "a") for _ in range(2))
    with store.database.write() as session:
        session.execute(
            sa.update(Run).where(Run.id == begun).values(state="interrupted", attempt=1)
        )
    assert [store.run(id).ahead for id in (begun, first)] == [0, 1]


def test_studies_wait_for_studies_alone(store: Store) -> None:
    add(store, LOCALIZE, "a")
    studies = [add(store, built_in_study("paper_comparison"), "a") for _ in range(2)]
    runs = [add(store, LOCALIZE, "a"), add(store, LOOK, "b")]
    assert [store.run(id).ahead for id in studies] == [0, 1]
    assert [store.run(id).ahead for id in runs] == [2, 1], "studies have no turn among the runs"
    with store.database.read() as session:
        assert len(places(session)) == 5
