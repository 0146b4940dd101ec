"""A submission that is sent twice under one key makes one run."""

import pytest

from tests.worker.store.test_runs import LOCALIZE, add
from worker.contract.errors import UserError
from worker.store.store import Store
from worker.store.submissions import LONGEST_KEY, remember_key, run_of_key


def test_a_key_is_its_owners_and_names_the_run_that_it_made(store: Store) -> None:
    run_id = add(store)
    key = "k" * LONGEST_KEY
    with store.database.write() as session:
        assert run_of_key(session, "ann", key, LOCALIZE) is None
        remember_key(session, "ann", key, LOCALIZE, run_id)
        assert run_of_key(session, "ann", key, LOCALIZE) == run_id
    assert store.submitted("ann", key, LOCALIZE) == run_id
    given = {"a": 1, "b": 2}
    same, again = (
        LOCALIZE.model_copy(update={"options": dict(items)})
        for items in (given.items(), reversed(given.items()))
    )
    with store.database.write() as session:
        remember_key(session, "cat", key, same, run_id)
    assert store.submitted("cat", key, again) == run_id, "in whatever order its options came"
    assert store.submitted("bob", key, LOCALIZE) is None
    assert store.submitted("ann", "\ud800", LOCALIZE) is None, "any text is a key"
    other = LOCALIZE.model_copy(update={"seed": 1})
    with pytest.raises(UserError, match=f"another spec, of which run {run_id}") as caught:
        store.submitted("ann", key, other)
    assert caught.value.problems[0][0] == "Idempotency-Key"
    assert f"The key '{40 * 'k'}' was sent" in caught.value.message
    with pytest.raises(UserError, match="256 characters; expected at most 255") as caught:
        store.submitted("ann", "k" * 256, LOCALIZE)
    assert caught.value.problems[0][0] == "Idempotency-Key"
