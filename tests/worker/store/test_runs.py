import pytest
import sqlalchemy as sa

from worker.contract.errors import NotFound, UserError
from worker.contract.progress import Event
from worker.contract.result import Provenance, Result
from worker.contract.selection import FactsSpec
from worker.contract.spec import EditedModel, EvaluateSpec, LocalizeSpec, Spec
from worker.engine.study.built_in import built_in_study
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
    assert record.title == "causal_tracing: athletes first:16 on demo"
    assert (record.state, record.owner, record.tags) == ("queued", "ann", ("a", "b"))
    assert record.created.utcoffset() is not None
    assert store.events(record.id) == [(0, Event(type="state", state="queued"))]
    assert store.result(record.id) is None
    with pytest.raises(NotFound):
        store.run("nothing")
    with pytest.raises(NotFound):
        store.result("nothing")


def test_what_a_study_asked_for_can_be_left_out(store: Store) -> None:
    study = built_in_study("paper_comparison")
    alone, asking = add(store), add(store, study)
    child = add(store, parents=(asking,))
    heir = add(store, parents=(alone,))
    assert [r.id for r in store.runs(of_study=False)] == [heir, asking, alone]
    assert [r.id for r in store.runs(of_study=True)] == [child]
    assert store.count_runs() == 4 and store.count_runs(of_study=False) == 3


def test_runs_are_filtered_searched_counted_and_paged_newest_first(store: Store) -> None:
    claim(store)
    ids = [add(store, title=f"Run {i}", owner="ann" if i % 2 else "bob") for i in range(6)]
    store.update_run(ids[0], starred=True, tags=["paper"])
    store.update_run(ids[1], archived=True)
    store.update_run(ids[2], title="100% of_it")
    done = finished(store)
    assert [r.id for r in store.runs(limit=2, offset=1)] == [ids[5], ids[4]]
    assert store.count_runs() == 6 and store.count_runs(archived=None) == 7
    assert [r.id for r in store.runs(owner="ann", archived=None)] == [ids[5], ids[3], ids[1]]
    assert [r.id for r in store.runs(starred=True)] == [ids[0]]
    assert [r.id for r in store.runs(tag="paper")] == [ids[0]]
    assert [r.id for r in store.runs(search="100% OF_")] == [ids[2]]
    assert store.runs(search="100_") == []
    assert [r.id for r in store.runs(search=f"athletes {ids[3]}")] == [ids[3]]
    assert [r.id for r in store.runs(state="done")] == [done]
    assert store.count_runs(kind="unlearn") == 0
    assert store.count_runs(model="demo", kind="localize") == 6


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


def test_events_of_an_attempt_change_the_run_and_are_numbered_without_gaps(store: Store) -> None:
    claim(store)
    run_id = add(store)
    attempt = store.begin_attempt(run_id, "w1", "g1").number
    told = [
        Event(type="state", state="running"),
        Event(type="progress", fraction=0.5, message="layer 3 of 6", seconds_left=2.0),
        Event(type="log", message="a line"),
    ]
    store.append(run_id, attempt, told)
    record = store.run(run_id)
    assert (record.state, record.fraction, record.message) == ("running", 0.5, "layer 3 of 6")
    assert record.seconds_left == 2.0
    assert store.events(run_id, after=1) == list(enumerate(told, start=2))
    assert store.log(run_id) == ["a line"]
    store.finish(run_id, attempt, "done", result=a_result())
    record = store.run(run_id)
    assert (record.state, record.fraction, record.has_result) == ("done", 1.0, True)
    assert store.events(run_id)[-1] == (5, Event(type="state", state="done"))


def test_an_older_attempt_can_write_nothing(store: Store) -> None:
    claim(store)
    run_id = add(store)
    old = store.begin_attempt(run_id, "w1", "g1").number
    new = store.begin_attempt(run_id, "w1", "g1").number
    before = store.events(run_id)
    for write in (
        lambda: store.append(run_id, old, [Event(type="log", message="ghost")]),
        lambda: store.finish(run_id, old, "done", result=a_result()),
        lambda: store.interrupt(run_id, old, "ghost", crashed=True),
        lambda: store.scale_batch(run_id, old, 0.5),
        lambda: store.is_cancel_requested(run_id, old),
    ):
        with pytest.raises(Fenced):
            write()
    assert store.events(run_id) == before and store.result(run_id) is None
    store.finish(run_id, new, "failed", "why")
    with pytest.raises(Fenced):
        store.append(run_id, new, [Event(type="log", message="too late")])
    assert store.begin_attempt(run_id, "w1", "g1") is None


def test_the_third_crash_fails_a_run(store: Store) -> None:
    claim(store)
    run_id = add(store)
    for crash in range(3):
        attempt = store.begin_attempt(run_id, "w1", "g1").number
        again = store.interrupt(run_id, attempt, "It died.", crashed=True)
        assert again is (crash < 2)
    record = store.run(run_id)
    assert (record.state, record.message) == ("failed", "It died. It was tried 3 times.")


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
