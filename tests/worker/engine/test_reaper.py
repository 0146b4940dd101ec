"""Runs are kept in step with the queue's jobs, whoever ended these."""

import sys
from collections.abc import Iterator

import pytest
from dbos import DBOSClient, WorkflowStatusString

from worker.contract.selection import FactsSpec
from worker.contract.spec import LocalizeSpec, StudySpec
from worker.contract.study import StudyMask, StudyMethod
from worker.engine import reaper
from worker.engine.client import Engine
from worker.engine.holder import this_process
from worker.engine.queue import open_client
from worker.store.attempts import Adopted

SPEC = LocalizeSpec(facts=FactsSpec(set="tiny"), method="fake")


@pytest.fixture
def client(engine: Engine) -> Iterator[DBOSClient]:
    engine.submit(SPEC)
    opened = open_client(engine.store.database)
    yield opened
    opened.destroy()


def test_a_job_that_was_cancelled_or_lost_behind_the_runs_back_ends_its_run(
    engine: Engine, client: DBOSClient
) -> None:
    cancelled, lost, waiting = (engine.submit(SPEC) for _ in range(3))
    client.cancel_workflow(cancelled)
    client.delete_workflow(lost)
    assert reaper.settle(engine.store, client) == 2
    assert engine.store.run(cancelled).state == "cancelled"
    assert engine.store.run(lost).state == "failed"
    assert engine.store.run(waiting).state == "queued"
    assert reaper.settle(engine.store, client) == 0


def test_a_finished_job_is_in_one_of_the_queues_own_states_that_are_not_open() -> None:
    every = {state.value for state in WorkflowStatusString}
    assert set(reaper.FINISHED) < every
    assert not set(reaper.FINISHED) & {"ENQUEUED", "PENDING"}
    assert {"SUCCESS", "ERROR", "CANCELLED"} <= set(reaper.FINISHED)


def test_finished_jobs_are_forgotten_after_a_while_and_their_runs_stay(
    engine: Engine, client: DBOSClient
) -> None:
    run_id = engine.submit(SPEC)
    engine.cancel(run_id)
    assert reaper.forget(client, keep_seconds=3600) == 0
    assert reaper.forget(client, keep_seconds=-1) == 1
    assert client.list_workflows(workflow_ids=[run_id]) == []
    assert reaper.settle(engine.store, client) == 0
    assert engine.store.run(run_id).state == "cancelled"


def test_a_dead_workers_jobs_are_given_back_once_and_not_again_within_the_minute(
    engine: Engine,
) -> None:
    given_back: list[list[str]] = []

    def requeue(ids: list[str]) -> list[str]:
        given_back.append(ids)
        return ids

    store = engine.store
    store.claim_worker("w1", "g1", {}, "cpu", 60.0, lambda holder: False)
    assert reaper.adopt(store, "w2", 60.0, requeue) == []
    store.release_worker("w1", "g1")
    for _ in range(2):
        reaper.adopt(store, "w2", 60.0, requeue)
    assert given_back == [["w1"]]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to see processes")
def test_a_worker_whose_process_is_gone_is_adopted_before_its_heartbeat_is_old(
    engine: Engine,
) -> None:
    store, here = engine.store, this_process()
    holders = {"lives": here, "died": here | {"started": "1"}, "afar": {"machine": "other"}}
    for name, holder in holders.items():
        store.claim_worker(name, f"of {name}", holder, "cpu", 60.0, lambda holder: False)
    assert reaper.adopt(store, "w2", 60.0, lambda ids: ids) == ["died"]
    with pytest.raises(Adopted):
        store.beat("died", "of died")
    store.claim_worker("died", "anew", here, "cpu", 60.0, lambda holder: False)
    assert reaper.adopt(store, "w2", 60.0, lambda ids: ids) == []


def a_study_with_children(engine: Engine) -> tuple[str, list[str]]:
    study = engine.submit(
        StudySpec(
            facts=FactsSpec(set="tiny"),
            masks={"mlp": StudyMask(title="", components=("blocks.0.mlp",))},
            methods={"fake": StudyMethod(title="", method="fake")},
        )
    )
    return study, [engine.submit(SPEC, parents=[study], tags=["study"]) for _ in range(2)]


def test_what_a_lost_study_asked_for_is_cancelled_and_nothing_else(
    engine: Engine, client: DBOSClient
) -> None:
    lost, orphans = a_study_with_children(engine)
    _, others = a_study_with_children(engine)
    client.delete_workflow(lost)
    assert reaper.settle(engine.store, client) == 1
    assert reaper.end_orphans(engine.store, engine.cancel) == 2
    assert {engine.store.run(id).state for id in orphans} == {"cancelled"}
    assert {engine.store.run(id).state for id in others} == {"queued"}
    assert reaper.end_orphans(engine.store, engine.cancel) == 0


def test_a_study_that_no_worker_holds_is_cancelled_with_its_children(engine: Engine) -> None:
    study, children = a_study_with_children(engine)
    engine.cancel(study)
    assert {engine.store.run(id).state for id in (study, *children)} == {"cancelled"}
