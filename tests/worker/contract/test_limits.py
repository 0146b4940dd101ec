"""How limits are read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.contract.errors import UserError
from worker.contract.limits import (
    Limits,
    bytes_of,
    limits_words,
    read_limits,
    size_text,
    size_words,
    time_of,
    time_words,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("1.5 tb", 1500 * 10**9), ("0MB", 0), ("7KB", 7000), (" ", None)],
)
def test_a_size_is_a_number_with_its_unit_and_nothing_is_no_limit(
    text: str, size: int | None
) -> None:
    assert bytes_of(text, "storage") == size


@pytest.mark.parametrize("text", ["20", "GB", "-1GB", "1.2345GB", "20GiB", "many", "1e3GB"])
def test_what_is_no_size_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UserError, match="is no size; expected a number with KB") as error:
        bytes_of(text, "storage")
    assert error.value.problems[0][0] == "storage" and repr(text) in error.value.message


@pytest.mark.parametrize(
    "text", ["1GB", "20GB", "1.5TB", "7KB", "250MB", "1.234GB", "123456.789MB", "0.001KB", "0KB"]
)
def test_a_size_is_written_as_it_is_read_to_the_byte(text: str) -> None:
    assert size_text(bytes_of(text, "storage") or 0) == text
    assert size_words(4_123_456_789) == "4.12GB", "what is taken is said in three digits"


@given(st.integers(0, 999_999_999), st.sampled_from(["KB", "MB", "GB", "TB"]))
def test_any_size_that_can_be_typed_is_the_same_after_it_was_shown(n: int, unit: str) -> None:
    size = bytes_of(f"{n // 1000}.{n % 1000:03}{unit}", "storage")
    assert size is not None and bytes_of(size_text(size), "storage") == size


@pytest.mark.parametrize("text", ["90d", "4h", "3h50m", "1d12h", "45s", "1m30s"])
def test_a_time_is_written_as_it_is_read(text: str) -> None:
    assert time_words(time_of(text, "daily") or 0) == text


@pytest.mark.parametrize("text", ["4", "0h", "an hour"])
def test_what_is_no_time_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UserError, match="is no length of time; expected one above 0") as error:
        time_of(text, "daily")
    assert error.value.problems[0][0] == "daily" and repr(text) in error.value.message


def test_no_time_is_written_as_such() -> None:
    assert time_words(0.2) == "0s" and time_of("", "daily") is None


def test_what_a_form_leaves_out_stays_and_what_is_empty_goes() -> None:
    held = Limits(waiting=3, running=2)
    assert read_limits({"waiting": "", "daily": "4h"}, held) == Limits(
        running=2, device_seconds=4 * 3600.0
    )
    assert read_limits({}) == Limits()


def test_every_field_that_cannot_be_read_is_named_at_once() -> None:
    with pytest.raises(UserError) as error:
        read_limits({"waiting": "-1", "running": "0", "daily": "4", "storage": "x"})
    assert [field for field, _ in error.value.problems] == [
        "waiting",
        "daily",
        "storage",
        "running",
    ]


def test_limits_are_said_in_words() -> None:
    everything = Limits(waiting=3, running=2, device_seconds=5400.0, storage=10**9)
    assert limits_words(everything) == "3 waiting, 2 at once, 1h30m a day, 1GB of files"
    assert limits_words(Limits()) == "no limits"


def test_a_persons_own_say_before_everybodys() -> None:
    own, everybody = Limits(waiting=9), Limits(waiting=1, running=2)
    assert own.over(everybody) == Limits(waiting=9, running=2)
    assert Limits().over(everybody) == everybody


def test_of_two_limits_the_narrower_holds_each_for_itself() -> None:
    wide, narrow = Limits(waiting=9, running=1), Limits(waiting=3, storage=7)
    assert wide.within(narrow) == narrow.within(wide) == Limits(waiting=3, running=1, storage=7)
    assert Limits(waiting=0).within(wide).waiting == 0
    assert Limits().within(Limits()) == Limits()
