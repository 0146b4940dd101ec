import pytest

from worker.contract.duration import seconds_of
from worker.contract.errors import UserError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("3h50m", 13800), ("1d12h", 129600), (" 1m30s ", 90)],
)
def test_units_are_added(text: str, seconds: float) -> None:
    assert seconds_of(text, "--max-time") == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "0s", "0h0m", "-5m", "1.5h", "5m3h", "1m1m", "3:50"]
)
def test_what_is_no_length_of_time_is_named_with_what_was_expected(text: str) -> None:
    with pytest.raises(UserError, match=r"--max-time is .*; expected .* 3h50m") as refused:
        seconds_of(text, "--max-time")
    assert repr(text) in refused.value.message
