"""Sets that every look before a verdict asks for are read and checked once in a process."""

from types import ModuleType

import pytest

from worker.core.facts import general_facts, relations


@pytest.mark.parametrize("module", [relations, general_facts], ids=["relations", "general_facts"])
def test_a_set_is_read_once(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first = module.fact_set()

    def again(*args: object) -> None:
        raise AssertionError("its file is read again")

    monkeypatch.setattr(module.json, "loads", again)
    assert module.fact_set() is first
