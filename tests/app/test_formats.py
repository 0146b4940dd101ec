from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98765, "0.988"),
        (0.0, "0"),
        (12.3456, "12.3"),
        (999.9, "1,000"),
        (123456.0, "123,456"),
        (1234567.0, "1.23e6"),
        (0.00012345, "0.000123"),
        (0.000012345, "1.23e−5"),
        (-0.5, "−0.500"),
        (7, "7"),
        (2214016, "2,214,016"),
        (True, "yes"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        ("text", "text"),
    ],
)
def test_numbers_have_three_significant_figures(value: object, text: str) -> None:
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0123, "12 ms"),
        (0.0999, "0.0999 s"),
        (1.5, "1.50 s"),
        (42.4, "42 s"),
        (600, "10 min"),
        (5400, "90 min"),
        (7260, "2 h 1 min"),
    ],
)
def test_times_have_the_unit_that_suits_them(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


def test_estimates_are_no_finer_than_they_are_known() -> None:
    assert [formats.about(s) for s in (0.2, 3.7, 42.0, 600)] == ["1 s", "4 s", "40 s", "10 min"]


def test_sizes_are_in_decimal_units() -> None:
    assert [formats.size(n) for n in (0, 999, 1500, 812_000_000, None)] == [
        "0 B",
        "999 B",
        "1.50 kB",
        "812 MB",
        "–",
    ]


def test_moments_are_written_in_utc() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert formats.iso(noon) == "2026-03-01T07:00:00Z"
    assert formats.utc(datetime(2026, 3, 1, 7, tzinfo=UTC)) == "2026-03-01 07:00 UTC"


UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
SECONDS = {"ms": 1e-3, "s": 1, "min": 60, "h": 3600}


def read(text: str, units: dict[str, float]) -> float:
    """What a text of numbers with units says."""
    words = text.replace(",", "").split()
    return sum(float(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))


@given(st.integers(1, 10**15) | st.integers(1, 15).map(lambda power: 10**power - 1))
@settings(derandomize=True, max_examples=60)
def test_any_size_is_said_to_three_figures_in_the_unit_that_suits_it(n_bytes: int) -> None:
    text = formats.size(n_bytes)
    assert read(text, UNITS) == pytest.approx(n_bytes, rel=0.006)
    assert text.endswith("TB") or float(text.replace(",", "").split()[0]) < 1000


@given(st.floats(1e-3, 1e6))
@settings(derandomize=True, max_examples=60)
def test_any_time_is_said_to_a_hundredth_and_no_finer_than_it_is_read(seconds: float) -> None:
    bound = {"rel": 0.012, "abs": 0.0005} if seconds < 10 else {"rel": 0.06}
    assert read(formats.duration(seconds), SECONDS) == pytest.approx(seconds, **bound)


@given(st.floats(-1e12, 1e12, allow_subnormal=False) | st.integers(-(10**12), 10**12))
@settings(derandomize=True, max_examples=60)
def test_any_number_is_read_back_to_three_figures(value: float | int) -> None:
    said = formats.number(value).replace(",", "").replace("−", "-")
    assert float(said) == pytest.approx(value, rel=0 if isinstance(value, int) else 0.0051)
