"""Settings that are read from one word: the bounds of memory."""

import pytest
from pydantic import ValidationError

from worker.contract.settings import Settings


def test_bounds_of_memory_are_read_with_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().max_memory == {}
    monkeypatch.setenv("LETHE_MAX_MEMORY", "cuda:0=20GB, cpu=1.5MB")
    assert Settings().max_memory == {"cuda:0": 20_000_000_000, "cpu": 1_500_000}


@pytest.mark.parametrize("value", ["20GB", "cuda=20GB", "cpu=much", "cpu=-1GB", "disk=1GB"])
def test_a_bound_that_cannot_be_read_is_refused_with_one_that_can(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LETHE_MAX_MEMORY", value)
    with pytest.raises(ValidationError, match="expected one like cuda:0=20GB"):
        Settings()
