"""The memory of what was measured of a model's knowledge."""

import sqlalchemy as sa

from worker.contract.spec import parse_spec
from worker.store.runs import insert_run
from worker.store.store import Store

SPEC = {"kind": "evaluate", "facts": {"set": "sports"}, "evaluations": ["knowledge"]}


def queue(store: Store) -> str:
    with store.database.write() as session:
        return insert_run(
            session, parse_spec(SPEC), owner="", title="", tags=(), parents=None, priority=1
        )


def test_what_was_measured_is_found_by_its_contents_until_it_fails(store: Store) -> None:
    run_id = queue(store)
    store.remember_knowledge(run_id, "facts", (), model="demo", weights_hash="w")
    assert store.knowledge_run("facts", (), weights_hash="w") == run_id
    assert store.knowledge_run("facts", (), model="demo") == run_id
    assert store.knowledge_run("facts", ("edit",), weights_hash="w") is None
    assert store.knowledge_run("others", (), weights_hash="w") is None
    assert store.knowledge_run("facts", (), weights_hash="v") is None
    again = queue(store)
    key = {"model": "demo", "weights_hash": "w"}
    assert store.remember_knowledge(again, "facts", (), **key) == run_id, "the first one stands"
    assert store.remember_knowledge(again, "facts", (), **key, in_place_of="other") == run_id
    assert store.knowledge_run("facts", (), weights_hash="w") == run_id
    assert store.remember_knowledge(again, "facts", (), **key, in_place_of=run_id) == again
    assert store.knowledge_run("facts", (), weights_hash="w") == again
    store.claim_worker("host:cpu", "g", {}, "cpu", 1e9, lambda holder: True)
    attempt = store.begin_attempt(again, "host:cpu", "g")
    assert attempt is not None
    store.finish(again, attempt.number, "failed", "no")
    assert store.knowledge_run("facts", (), weights_hash="w") is None
    store.delete_run(again)
    with store.database.read() as session:
        left = session.scalar(sa.text("SELECT count(*) FROM knowledge"))
    assert left == 0, "it is forgotten with its run"


def test_edits_count_in_their_order_and_a_cancelled_run_is_none(store: Store) -> None:
    one, other = queue(store), queue(store)
    weights = {"model": "demo", "weights_hash": "w"}
    store.remember_knowledge(one, "facts", ("a", "b"), **weights)
    assert store.knowledge_run("facts", ("a", "b"), weights_hash="w") == one
    assert store.knowledge_run("facts", ("b", "a"), weights_hash="w") is None
    assert store.knowledge_run("facts", (), weights_hash="w") is None
    store.remember_knowledge(other, "facts", ("a", "b"), model="demo", weights_hash="v")
    assert store.knowledge_run("facts", ("a", "b"), model="demo") == other, "the newest"
    with store.database.write() as session:
        session.execute(sa.text("UPDATE runs SET state = 'cancelled' WHERE id = :id"), {"id": one})
    assert store.knowledge_run("facts", ("a", "b"), weights_hash="w") is None
    assert store.remember_knowledge(other, "facts", ("a", "b"), **weights) == other
