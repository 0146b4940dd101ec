"""Which runs match a filter, and what is read of each."""

from tests.worker.store.test_runs import add, claim, finished
from worker.engine.study.built_in import built_in_study
from worker.store.store import Store


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
    assert [r.id for r in store.runs(limit=2)] == [done, ids[5]]
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


def test_each_run_has_its_own_tags_lineage_and_place(store: Store) -> None:
    claim(store)
    first, other = finished(store, tags=("b", "a")), finished(store)
    child = add(store, parents=(other, first), tags=("c",))
    found = {run.id: run for run in store.runs()}
    assert found[first].tags == ("a", "b")
    assert (found[child].tags, found[child].parents) == (("c",), (other, first))
    assert (found[first].parents, found[other].tags) == ((), ())
    assert found[first].finished is not None and found[first].started is not None
    assert (found[child].started, found[child].finished) == (None, None)
    last = add(store)
    assert [store.run(id).ahead for id in (first, child, last)] == [0, 0, 1]
    assert store.begin_attempt(child, "w1", "g1") is not None
    assert [store.run(id).ahead for id in (child, last)] == [0, 0]


def test_all_runs_are_listed_in_one_order_with_the_archive_among_them(store: Store) -> None:
    ids = [add(store) for _ in range(5)]
    for id in ids[1::2]:
        store.update_run(id, archived=True)
    assert [r.id for r in store.runs(archived=None, limit=4)] == ids[:0:-1]
    assert [r.id for r in store.runs(archived=None, search=ids[3])] == [ids[3]]
    assert store.count_runs(archived=None, search="athletes") == 5


def test_no_more_runs_are_counted_than_are_asked_for(store: Store) -> None:
    for _ in range(4):
        add(store)
    assert [store.count_runs(most) for most in (0, 1, 3, 4, 9)] == [0, 1, 3, 4, 4]
    assert store.count_runs(2, model="nobody's") == 0
