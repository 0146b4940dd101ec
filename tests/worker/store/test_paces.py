"""What finished runs took teaches what the next ones are told."""

import pytest
from sqlalchemy import select, update

from worker.contract.pace import Pace
from worker.store import paces
from worker.store.paces import remember_paces
from worker.store.store import Store
from worker.store.tables import PaceRow

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


def remember_at(store: Store, finished: float, ratio: float, work: str = WORK) -> None:
    """Remember a run that finished at this time."""
    run = f"r{finished:g}"
    remember(store, run, "demo", work, 2.0, 2.0 * ratio)
    with store.database.write() as session:
        session.execute(update(PaceRow).where(PaceRow.run_id == run).values(finished=finished))


def test_a_correction_is_the_median_of_the_nine_latest(store: Store) -> None:
    for at, ratio in enumerate([1.0, *[4.0] * 5, *[1.0] * 4]):
        remember_at(store, at, ratio)
    # With the tenth it would be 2, between five of each.
    assert store.paces("a cpu", "demo", [WORK])[WORK] == pytest.approx(4.0)


def test_only_the_latest_are_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paces.KEPT == 500, "of each device"
    monkeypatch.setattr(paces, "KEPT", 3)
    for at in (30, 10, 50, 20, 40):
        remember_at(store, at, 2.0, work=f"w{at}")
    with store.database.write() as session:
        other = Pace(work="w0", device="another", told=1.0, seen=2.0)
        remember_paces(session, "other", "demo", [other])
        remember_paces(session, "new", "demo", [Pace(work="w", device="a cpu", told=1.0, seen=2.0)])
        remember_paces(session, "nothing", "demo", [])
        left = set(session.scalars(select(PaceRow.run_id)))
    assert left == {"new", "r40", "r50", "other"}
    found = store.paces("a cpu", "another model", ["w50", "w30", "w0"])
    assert found == pytest.approx({"w50": 2.0, "w30": 1.0, "w0": 1.0})
