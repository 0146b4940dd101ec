"""Results are read and checked once, however often they are asked for."""

import pytest
import sqlalchemy as sa

from tests.worker.store.test_runs import a_result, add, claim, finished
from worker.contract.errors import NotFound
from worker.contract.result import Receipt, Result
from worker.store import results
from worker.store.store import Store
from worker.store.tables import RunResult


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The results that were checked while the test ran."""
    found: list[object] = []
    validate = Result.model_validate

    def counted(data: object) -> Result:
        found.append(data)
        return validate(data)

    monkeypatch.setattr(Result, "model_validate", counted)
    return found


def test_a_result_is_read_once_until_it_is_another(store: Store, checked: list[object]) -> None:
    claim(store)
    run = finished(store)
    assert [store.result(run) for _ in range(3)] == [a_result()] * 3
    assert len(checked) == 1


def test_a_run_that_was_deleted_has_no_result_and_one_in_its_place_has_its_own(
    store: Store, checked: list[object]
) -> None:
    claim(store)
    run = finished(store)
    assert store.result(run) == a_result()
    store.delete_run(run)
    with pytest.raises(NotFound):
        store.result(run)
    assert add(store, id=run) == run and store.result(run) is None
    attempt = store.begin_attempt(run, "w1", "g1")
    assert attempt is not None
    other = a_result().model_copy(update={"caption": "another"})
    store.finish(run, attempt.number, "done", result=other)
    assert store.result(run) == other and len(checked) == 2


def test_results_asked_for_last_are_kept_as_far_as_there_is_room(
    store: Store, checked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(store)
    runs = [finished(store) for _ in range(3)]
    with store.database.read() as session:
        size = session.scalar(sa.select(sa.func.length(RunResult.body))) or 0
    monkeypatch.setattr(results, "KEPT", 2 * size)
    for run in (*runs[:2], runs[0], runs[2], runs[0]):
        store.result(run)
    assert len(checked) == 3
    store.result(runs[1])
    assert len(checked) == 4
    monkeypatch.setattr(results, "KEPT", 1)
    assert [store.result(run) for run in (runs[2], runs[2])] == [a_result()] * 2
    assert len(checked) == 5


def test_receipts_are_read_without_the_rest(store: Store, checked: list[object]) -> None:
    claim(store)
    receipt = Receipt(
        tensors=(), n_parameters=1, n_changed=1, hash_before="a", hash_after="b",
        outside_unchanged=True, n_outside_checked=1, base_restored=True,
    )  # fmt: skip
    without, run = finished(store), add(store)
    attempt = store.begin_attempt(run, "w1", "g1")
    assert attempt is not None
    result = a_result().model_copy(update={"receipt": receipt})
    store.finish(run, attempt.number, "done", result=result)
    assert store.receipts([without, run, "nothing"]) == {run: receipt}
    assert checked == []
