"""What lies in a stack of edits."""

import pytest
import sqlalchemy as sa

from tests.worker.engine.test_resolve import spec
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.spec import Spec, parse_spec
from worker.engine.stacks import (
    edits_below,
    facts_of,
    facts_of_edits,
    stacked_edits,
    stacked_runs,
)
from worker.store.runs import insert_run
from worker.store.store import Store


def stacking(*edits: object, method: str = "stack_edits") -> Spec:
    data = spec().model_dump(mode="json")
    return parse_spec({**data, "method": method, "options": {"edits": list(edits)}})


def queue(store: Store, asked: Spec, parents: tuple[str, ...] = ()) -> str:
    with store.database.write() as session:
        return insert_run(session, asked, owner="", title="", tags=(), parents=parents, priority=1)


def ids(facts: tuple[Fact, ...]) -> list[str]:
    return [fact.id for fact in facts]


def test_only_the_method_that_stacks_edits_names_them() -> None:
    assert stacked_runs(stacking("a", "b", 3)) == ("a", "b")
    assert stacked_runs(stacking("a", method="npo")) == ()
    assert stacked_runs(stacking()) == ()
    assert stacked_runs(parse_spec({"kind": "explore", "view": "v"})) == ()


def test_an_edit_goes_with_all_that_lay_under_it_and_the_facts_that_it_changed(
    store: Store,
) -> None:
    below = queue(store, spec("group:golf"))
    model = {"base": "demo", "edits": [below]}
    on_it = parse_spec({**spec("group:tennis").model_dump(mode="json"), "model": model})
    above = queue(store, on_it)
    found = stacked_edits(stacking(above), store, lambda run_id: f"/deltas/{run_id}")
    assert list(found) == [above]
    assert found[above].deltas == (f"/deltas/{below}", f"/deltas/{above}")
    assert ids(found[above].facts) == ["f1", "f2"]
    assert edits_below(store.run(above)) == (below,)
    assert edits_below(store.run(below)) == ()
    assert [ids(facts) for facts in facts_of_edits((below, above), store)] == [
        ["f0"],
        ["f1", "f2"],
    ]


def test_what_is_no_finished_edit_is_refused_at_its_option(store: Store) -> None:
    def no_delta(run_id: str) -> str:
        raise UserError(f"Run {run_id} has no delta.", field="model.edits")

    run_id = queue(store, spec())
    for named in ("gone", run_id):
        with pytest.raises(UserError, match=named) as caught:
            stacked_edits(stacking(named), store, no_delta)
        assert caught.value.problems[0][0] == "options.edits"


def test_facts_of_a_set_that_was_deleted_or_of_no_edit_are_none(store: Store) -> None:
    run_id = queue(store, spec())
    assert ids(facts_of(run_id, store)) == ["f0", "f1", "f2"]
    looked = queue(store, parse_spec({"kind": "explore", "view": "v"}))
    assert facts_of(looked, store) == ()
    with store.database.write() as session:
        session.execute(sa.text("DELETE FROM fact_sets"))
    assert facts_of(run_id, store) == ()
