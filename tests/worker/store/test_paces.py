"""What finished runs took teaches what the next ones are told."""

import pytest

from worker.contract.pace import Pace
from worker.store.paces import KEPT, remember_paces
from worker.store.store import Store

WORK, OTHER = "localization causal_tracing", "evaluation probes"


def remember(store: Store, run: str, model: str, work: str, told: float, seen: float) -> None:
    with store.database.write() as session:
        pace = Pace(work=work, device="a cpu", told=told, seen=seen)
        remember_paces(session, run, model, [pace])


def test_what_was_never_computed_is_told_as_it_was_counted(store: Store) -> None:
    assert store.paces("a cpu", "demo", [WORK, OTHER]) == {WORK: 1.0, OTHER: 1.0}


def test_one_odd_run_among_three_does_not_decide(store: Store) -> None:
    for run, seen in (("a", 2.0), ("b", 90.0), ("c", 2.2)):
        remember(store, run, "demo", WORK, 1.0, seen)
    assert store.paces("a cpu", "demo", [WORK])[WORK] == pytest.approx(2.2)
    assert store.paces("another", "demo", [WORK])[WORK] == 1.0


def test_the_same_work_on_another_model_tells_more_than_other_work_on_this_one(
    store: Store,
) -> None:
    remember(store, "a", "large", WORK, 1.0, 3.0)
    remember(store, "b", "demo", OTHER, 1.0, 0.5)
    found = store.paces("a cpu", "demo", [WORK, OTHER, "evaluation ripple"])
    assert found == pytest.approx({WORK: 3.0, OTHER: 0.5, "evaluation ripple": 0.5})


def test_only_the_latest_are_remembered(store: Store) -> None:
    with store.database.write() as session:
        paces = [Pace(work=f"w{i}", device="a cpu", told=1.0, seen=2.0) for i in range(KEPT + 5)]
        remember_paces(session, "old", "demo", paces)
        remember_paces(session, "new", "demo", paces[:1])
    assert len(store.paces("a cpu", "demo", ["w0"])) == 1
    assert store.paces("a cpu", "demo", ["w0"])["w0"] == pytest.approx(2.0)
