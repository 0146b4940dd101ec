"""A run that nobody takes any more says why, wherever it is read."""

from typing import Any

import pytest
import sqlalchemy as sa

from worker.contract.menu import Announcement, MethodInfo, ModelInfo
from worker.contract.named import methods_of
from worker.contract.selection import FactsSpec
from worker.contract.spec import LocalizeSpec, Spec
from worker.engine.study.built_in import built_in_study
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.tables import Run


def announce(store: Store, worker: str, *models: ModelInfo, methods: tuple[str, ...]) -> None:
    kinds = ("localization", "unlearning", "evaluation")
    able = [
        MethodInfo(kind=kind, name=name, title=name, summary="", options={})
        for name in methods
        for kind in kinds
    ]
    said = Announcement(methods=tuple(able), models=models, fact_sets=(), device="cpu")
    store.claim_worker(worker, "g", {}, "cpu", 1e9, lambda holder: True)
    store.announce(worker, "g", said)


def model(id: str, **more: Any) -> ModelInfo:
    return ModelInfo(id=id, title=id, **more)


def localize(model: str = "mine", method: str = "trace") -> LocalizeSpec:
    return LocalizeSpec(model=model, facts=FactsSpec(set="tiny"), method=method)


def add(store: Store, spec: Spec, state: str = "queued", parents: tuple[str, ...] = ()) -> str:
    with store.database.write() as session:
        id = insert_run(
            session, spec, owner="", title="", tags=(), parents=parents, priority=1, browser=""
        )
        session.execute(sa.update(Run).where(Run.id == id).values(state=state))
    return id


def test_a_run_whose_model_vanished_says_so_until_a_worker_has_it_again(store: Store) -> None:
    run_id = add(store, localize())
    assert store.run(run_id).hindrance == "", "no worker is alive, which is said elsewhere"
    announce(store, "w1", model("mine"), methods=("trace",))
    assert store.run(run_id).hindrance == ""
    announce(store, "w1", model("demo"), methods=("trace",))
    said = store.run(run_id).hindrance
    assert "w1 does not have the model 'mine'" in said
    assert "Put back what is missing, or start a worker that has it; or cancel the run." in said
    assert [run.hindrance for run in store.runs()] == [said]
    announce(store, "w2", model("mine"), methods=("trace",))
    assert store.run(run_id).hindrance == ""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (localize("damaged"), "cannot load 'damaged': its weights are cut off"),
        (localize("demo", "plugin"), "does not have the localization 'plugin'"),
    ],
)
def test_a_damaged_model_and_a_plugin_that_is_gone_are_named(
    store: Store, spec: Spec, words: str
) -> None:
    damaged = model("damaged", problem="its weights are cut off.")
    announce(store, "w1", model("demo"), damaged, methods=("trace",))
    for state in ("queued", "interrupted"):
        assert words in store.run(add(store, spec, state)).hindrance
    for state in ("loading", "running", "done", "failed", "cancelled"):
        assert store.run(add(store, spec, state)).hindrance == ""


def test_a_study_says_what_its_waiting_children_wait_for(store: Store) -> None:
    announce(store, "w1", model("demo"), methods=("trace",))
    study = add(store, built_in_study("paper_comparison"), "running")
    add(store, localize("demo"), parents=(study,))
    assert store.run(study).hindrance == ""
    hindered = add(store, localize("mine"), parents=(study,))
    add(store, localize("demo"), parents=(study,))
    assert store.run(study).hindrance == store.run(hindered).hindrance != ""


def test_a_run_waits_for_a_paused_worker_in_words_until_it_is_resumed(store: Store) -> None:
    announce(store, "w1", model("mine"), methods=("trace",))
    run_id = add(store, localize())
    store.halt("w1", "paused", "ada")
    said = store.run(run_id).hindrance
    assert "w1 is paused by ada. The run waits and nothing of it is lost." in said
    assert [run.hindrance for run in store.queue()] == [said]
    announce(store, "w2", model("mine"), methods=("trace",))
    assert store.run(run_id).hindrance == "", "another takes it"
    store.halt("w2", "drained", "bo")
    assert "It begins when w1 or w2 is resumed." in store.run(run_id).hindrance
    store.resume("w1")
    assert store.run(run_id).hindrance == ""


def test_a_study_s_runs_wait_for_a_paused_worker_and_the_study_for_none(store: Store) -> None:
    announce(store, "w1", model("demo"), methods=("trace",))
    store.halt("w1", "paused", "ada")
    study = add(store, built_in_study("paper_comparison"), "running")
    add(store, localize("demo"), parents=(study,))
    assert "w1 is paused by ada" in store.run(study).hindrance
    spec = built_in_study("paper_comparison")
    announce(store, "w1", model("demo"), methods=tuple({one[1] for one in methods_of(spec)}))
    assert store.run(add(store, spec)).hindrance == "", "a paused worker conducts it"
