"""Named circuits are kept by their address until they are deleted."""

import pytest

from worker.contract.errors import NotFound, UserError
from worker.store.store import Store


def test_a_circuit_is_kept_under_a_name_that_is_free(store: Store) -> None:
    store.save_circuit("golf / early", "model=demo&size=4", owner="ada")
    store.save_circuit("golf", "model=demo&size=9")
    assert {one.name: one.query for one in store.circuits()} == {
        "golf": "model=demo&size=9",
        "golf / early": "model=demo&size=4",
    }
    assert store.circuit("golf / early").owner == "ada"
    with pytest.raises(UserError, match="already"):
        store.save_circuit(" golf ", "model=other")
    assert store.circuit("golf").query == "model=demo&size=9"
    store.delete_circuit("golf")
    with pytest.raises(NotFound, match="golf / early"):
        store.circuit("golf")
    with pytest.raises(NotFound):
        store.delete_circuit("golf")


@pytest.mark.parametrize(("name", "query"), [("", "a"), ("a\nb", "a"), ("a", "x" * 64_001)])
def test_what_cannot_be_kept_is_refused(store: Store, name: str, query: str) -> None:
    with pytest.raises(UserError):
        store.save_circuit(name, query)
    assert store.circuits() == []
