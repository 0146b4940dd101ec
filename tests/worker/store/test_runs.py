import pytest
import sqlalchemy as sa

from worker.contract.errors import NotFound, UserError
from worker.contract.progress import Event
from worker.contract.result import Provenance, Result
from worker.contract.selection import FactsSpec
from worker.contract.spec import EditedModel, EvaluateSpec, LocalizeSpec, Spec
from worker.store.attempts import Adopted, Fenced
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.workers import run_is_computed

LOCALIZE = LocalizeSpec(facts=FactsSpec(set="athletes"), method="causal_tracing")


def add(store: Store, spec: Spec = LOCALIZE, **more: object) -> str:
    given = {"owner": "", "title": "", "tags": (), "parents": None, "priority": 10} | more
    with store.database.write() as session:
        return insert_run(session, spec, **given)


def claim(store: Store, id: str = "w1", generation: str = "g1", stale: float = 60.0) -> object:
    return store.claim_worker(id, generation, {"pid": 1}, "cpu", stale, lambda holder: False)


def a_result() -> Result:
    made = Provenance(model="demo", weights_hash="0", seed=0, device="cpu", dtype="", versions={})
    return Result(
        kind="localize",
        spec={},
        provenance=made,
        seconds=1.0,
        peak_memory_bytes=1,
        summary={"a.text": "é\0\ud800"},
    )


def finished(store: Store, spec: Spec = LOCALIZE, **more: object) -> str:
    run_id = add(store, spec, **more)
    attempt = store.begin_attempt(run_id, "w1", "g1")
    assert attempt is not None
    store.finish(run_id, attempt.number, "done", result=a_result())
    return run_id


def test_a_new_run_is_queued_with_a_title_made_from_its_spec(store: Store) -> None:
    record = store.run(add(store, owner="ann", tags=("b", "a", "b")))
    assert record.title == "Causal tracing of 16 athletes on demo"
    assert (record.state, record.owner, record.tags) == ("queued", "ann", ("a", "b"))
    assert record.created.utcoffset() is not None
    assert store.events(record.id) == [(0, Event(type="state", state="queued"))]
    assert store.result(record.id) is None
    with pytest.raises(NotFound):
        store.run("nothing")
    with pytest.raises(NotFound):
        store.result("nothing")


def test_a_queued_run_knows_how_many_come_before_it(store: Store) -> None:
    first, last = add(store, priority=50), add(store, priority=50)
    soon = add(store, priority=5)
    assert [store.run(id).ahead for id in (first, last, soon)] == [1, 2, 0]


def test_lineage_keeps_a_parent_from_being_deleted_and_its_files_go_with_it(store: Store) -> None:
    claim(store)
    parent = finished(store)
    store.artifacts.put_bytes(f"runs/{parent}/x", b"x")
    edited = EditedModel(base="demo", edits=(parent,))
    child = finished(store, EvaluateSpec(model=edited, facts=FactsSpec(set="athletes")))
    assert store.run(child).parents == (parent,)
    assert [r.id for r in store.children(parent)] == [child]
    with pytest.raises(UserError, match=child):
        store.delete_run(parent)
    store.delete_run(child)
    store.delete_run(parent)
    assert not store.artifacts.exists(f"runs/{parent}/x")
    assert store.count_runs() == 0
    waiting = add(store)
    with pytest.raises(UserError, match="cancel it"):
        store.delete_run(waiting)


def test_a_run_cannot_build_on_a_run_that_does_not_exist(store: Store) -> None:
    spec = EvaluateSpec(
        model=EditedModel(base="demo", edits=("gone",)), facts=FactsSpec(set="athletes")
    )
    with pytest.raises(UserError, match="gone"):
        add(store, spec)
    assert store.count_runs() == 0


def test_a_result_keeps_odd_text(store: Store) -> None:
    claim(store)
    summary = store.result(finished(store)).summary
    assert summary["a.text"] == "é\0\ud800"


def test_a_waiting_run_is_cancelled_at_once_and_a_computed_one_is_asked(store: Store) -> None:
    claim(store)
    waiting, computed = add(store), add(store)
    attempt = store.begin_attempt(computed, "w1", "g1").number
    assert store.request_cancel(waiting, run_is_computed()).state == "cancelled"
    assert store.request_cancel(computed, run_is_computed()).state == "loading"
    assert store.is_cancel_requested(computed, attempt)
    assert store.begin_attempt(waiting, "w1", "g1") is None
    store.release_worker("w1", "g1")
    assert store.request_cancel(computed, run_is_computed()).state == "cancelled"
    with pytest.raises(Fenced):
        store.finish(computed, attempt, "done", result=a_result())


def test_a_silent_worker_is_adopted_and_cannot_begin_anything_afterwards(store: Store) -> None:
    claim(store, "w1", "g1")
    claim(store, "w2", "g2")
    run_id = add(store)
    attempt = store.begin_attempt(run_id, "w1", "g1").number
    assert store.adopt_dead("w2", stale_seconds=60) == []
    with store.database.write() as session:
        session.execute(sa.text("UPDATE workers SET heartbeat = heartbeat - 100 WHERE id = 'w1'"))
    assert store.adopt_dead("w2", stale_seconds=60) == ["w1"]
    assert store.adopt_dead("w2", stale_seconds=60) == [], "not again within the minute"
    assert store.run(run_id).state == "interrupted"
    with pytest.raises(Adopted):
        store.beat("w1", "g1")
    with pytest.raises(Adopted):
        store.begin_attempt(run_id, "w1", "g1")
    with pytest.raises(Fenced):
        store.append(run_id, attempt, [Event(type="log", message="ghost")])
    assert store.begin_attempt(run_id, "w2", "g2").number > attempt


def test_a_workers_id_is_held_until_it_is_stopped_silent_or_known_to_be_dead(store: Store) -> None:
    assert claim(store, generation="g1") is None
    assert claim(store, generation="g2") == {"pid": 1}
    dead = store.claim_worker("w1", "g3", {"pid": 2}, "cpu", 60.0, lambda holder: True)
    assert dead is None
    store.release_worker("w1", "g3")
    assert claim(store, generation="g4") is None
    assert claim(store, generation="g5", stale=0.0) is None
    with pytest.raises(Adopted):
        store.beat("w1", "g4")
