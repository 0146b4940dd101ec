"""What the environment says, and how a wrong value is refused."""

import pytest
from pydantic import ValidationError

from worker.contract.errors import UserError
from worker.contract.settings import Settings, hidden, settings


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


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LETHE_PORT", "70000", "LETHE_PORT is '70000': input should be less than"),
        ("LETHE_LANES", "two", "LETHE_LANES is 'two': input should be a valid integer"),
        ("LETHE_MAX_MEMORY", "much", "LETHE_MAX_MEMORY is 'much': 'much' is no bound of memory"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    settings.cache_clear()
    with pytest.raises(UserError) as refused:
        settings()
    assert refused.value.message.startswith(words)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:geheim@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me:a@b/c@host/x", "postgresql://me:***@host/x"),
        ("s3://bucket/x?secret=geheim&region=eu", "s3://bucket/x?secret=***&region=eu"),
        ("sqlite:////data/x.sqlite", "sqlite:////data/x.sqlite"),
        ("cannot reach redis://:geheim@host now", "cannot reach redis://:***@host now"),
    ],
)
def test_passwords_in_urls_are_hidden(url: str, shown: str) -> None:
    assert hidden(url) == shown
