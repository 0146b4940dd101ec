"""Runs that ship: of the bundled weights, whole with their lineage, and brought once."""

import threading
from pathlib import Path

import pytest

from worker.contract.bundle import result_files
from worker.contract.errors import Conflict, NotFound
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.spec import parse_spec
from worker.core.facts.reading import bundled_fact_sets
from worker.core.models.cache import ModelCache
from worker.core.models.deltas import checksum
from worker.engine.examples import EXAMPLE, EXAMPLES, bring, recorded, shown
from worker.store.describe import parents_of
from worker.store.store import Store

SHIPPED = Path(__file__).parents[3] / "static" / "gallery" / "runs"
MOST = 2_500_000
"""Bytes of all that ships: a clone stays small."""


def test_every_example_ships_and_was_measured_on_the_weights_that_ship() -> None:
    known = recorded(SHIPPED)
    assert set(known) == set(EXAMPLES) == {path.stem for path in SHIPPED.glob("*.zip")}
    weights = checksum(ModelCache("cpu").get("demo"))
    assert {one.weights_hash for one in known.values()} == {weights}
    assert len({one.id for one in known.values()}) == len(known)
    assert sum(path.stat().st_size for path in SHIPPED.glob("*.zip")) < MOST
    assert len(list(shown())) >= 6


def test_an_example_stands_after_what_it_was_made_from() -> None:
    known = recorded(SHIPPED)
    for name, example in EXAMPLES.items():
        spec = parse_spec(known[name].spec)
        assert spec.kind == example.spec["kind"]
        named = [one for one, other in known.items() if other.id in parents_of(spec)]
        assert all(list(EXAMPLES).index(one) < list(EXAMPLES).index(name) for one in named)


def test_one_that_is_opened_is_an_ordinary_run_with_what_it_was_made_from(store: Store) -> None:
    hashes = {one.name: one.hash for one in bundled_fact_sets()}
    run_id = bring("relearning", SHIPPED, store)
    run, result = store.run(run_id), store.result(run_id)
    assert (run.state, run.title, run.tags) == ("done", EXAMPLES["relearning"].title, (EXAMPLE,))
    assert result is not None and result.caption == recorded(SHIPPED)["relearning"].caption
    assert result.provenance.fact_set_hash == hashes["athletes"]
    assert run.started is not None and run.finished is not None
    assert (run.finished - run.started).total_seconds() == pytest.approx(result.seconds, abs=2)
    [edit] = run.parents
    made = store.result(edit)
    assert made is not None and store.children(edit)
    assert all(store.artifacts.exists(f"runs/{edit}/{name}") for name in result_files(made))


def test_readers_who_open_at_once_bring_each_run_once(store: Store) -> None:
    found: list[str] = []
    readers = [
        threading.Thread(target=lambda: found.append(bring("trace", SHIPPED, store)))
        for _ in range(3)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(found) == 3 and len(set(found)) == 1
    assert store.count_runs(tag=EXAMPLE) == len(EXAMPLES)
    store.delete_run(bring("trace", SHIPPED, store))
    assert store.run(bring("trace", SHIPPED, store)).state == "done", "it comes back when asked for"


def test_other_weights_are_refused_with_the_cure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ModelInfo(id="demo", title="Demo", weights_hash="f" * 64)
    menu = Announcement(methods=(), models=(other,), fact_sets=(), device="cpu")
    monkeypatch.setattr(store, "announcement", lambda: menu)
    with pytest.raises(Conflict, match="make examples"):
        bring("trace", SHIPPED, store)
    assert store.count_runs() == 0
    with pytest.raises(NotFound, match="trace"):
        bring("trase", SHIPPED, store)
