"""Quantities as people type them and as they read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather import units
from linkweather.errors import UnitError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("50ms", 0.05), ("0.5", 0.5), ("2 s", 2.0), ("30us", 3e-5), ("30µs", 3e-5), ("5e-3", 0.005)],
        *[("5min", 300.0), ("15m", 900.0), ("1.5h", 5400.0), ("7d", 604800.0), ("0s", 0.0)],
    ],
)
def test_duration_with_its_unit(text: str, value: float) -> None:
    assert units.parse_duration(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("100M", 1e8), ("1.5G", 1.5e9), ("8e6", 8e6), ("64k", 64e3), ("64K", 64e3), ("10m", 1e7)],
        *[("5Mbit", 5e6), ("941 Mbit/s", 941e6), ("12 bit/s", 12.0), ("1T", 1e12)],
    ],
)
def test_rate_with_its_unit(text: str, value: float) -> None:
    assert units.parse_rate(text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("0.1", 0.1), ("10%", 0.1), ("0", 0.0)])
def test_ratio_or_percentage(text: str, value: float) -> None:
    assert units.parse_ratio(text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("500", 500.0), ("12.5 USD", 12.5), ("3$", 3.0)])
def test_price_with_or_without_its_unit(text: str, value: float) -> None:
    assert units.parse_price(text) == value


def test_unknown_unit_is_refused_with_an_example() -> None:
    with pytest.raises(UnitError, match=r"^'50y': must be a duration such as 50ms, 60s or 5min$"):
        units.parse_duration("50y")


@pytest.mark.parametrize("text", ["", "s", "-5s", "1y", "nans", "٣s1"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match=r"must be a duration such as 50ms, 60s or 5min$"):
        units.parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0", "-1s", "soon"])
def test_a_period_is_longer_than_0(text: str) -> None:
    with pytest.raises(UnitError, match=r"must be a duration longer than 0, such as 50ms, 60s or 5min$"):
        units.parse_period(text)
    assert units.parse_period("10s") == 10.0


def test_a_duration_of_more_than_a_century_is_too_long() -> None:
    assert units.parse_duration("36600d") == 36600 * 86400.0
    for parse in (units.parse_duration, units.parse_period, lambda text: units.parse_moment(text, NOW)):
        with pytest.raises(UnitError, match=r"^'36601d': must be at most 100 years$"):
            parse("36601d")


@pytest.mark.parametrize("text", ["", "-5M", "fast", "1e999", "nan"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match="must be a rate in bit/s such as 100M or 1e8"):
        units.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2TB", 2 * 10**12),
        ("500 GB", 500 * 10**9),
        ("10MiB", 10 * 2**20),
        ("1KiB", 1024),
        ("1.5kB", 1500),
        ("7", 7),
        ("7B", 7),
        ("1e9", 10**9),
        ("1EiB", 2**60),
    ],
)
def test_size_with_its_unit_decimal_or_binary(text: str, value: int) -> None:
    assert units.parse_size(text) == value


@pytest.mark.parametrize("text", ["-1TB", "2tb", "1e999", "nan", "TB", "2 TB/s"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match=r"must be a size in bytes such as 2TB, 500GB or 10MiB$"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("15m", datetime(2026, 1, 31, 11, 45, tzinfo=UTC)),
        ("2026-01-31T11:00:00Z", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2026-01-31T11:00:00+02:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T11:00:00 02:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T11:00:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_a_moment_is_rfc_3339_or_how_long_ago(text: str, at: datetime) -> None:
    assert units.parse_moment(text, NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "10", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_no_moment_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UnitError, match=r"must be a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m$"):
        units.parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 µs"),
        (5e-6, "5.00 µs"),
        (4.123e-5, "41.2 µs"),
        (0.0009994, "999 µs"),
        (0.0009996, "1.00 ms"),  # never "1000 µs"
        (0.02345, "23.4 ms"),
        (1.0, "1.00 s"),
        (90.0, "90.0 s"),
        (119.99, "2.00 min"),
        (5400.0, "90.0 min"),
        (86400.0, "24.0 h"),
        (8.64e5, "10.0 d"),
        (8.64e9, "100000 d"),
        (-0.0021, "-2.10 ms"),
        (math.inf, "–"),
        (None, "–"),
    ],
)
def test_durations_have_three_digits_and_a_unit_that_fits(value: float | None, text: str) -> None:
    assert units.duration(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.4, "0 s"), (119.0, "119 s"), (600.0, "10 min"), (7200.0, "2 h"), (172800.0, "2 d")],
)
def test_ages_are_in_the_largest_unit_that_says_enough(seconds: float | None, text: str) -> None:
    assert units.age(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(941.4e6, "941 Mbit/s"), (1e9, "1.00 Gbit/s"), (0.0, "0 bit/s"), (None, "–")]
)
def test_rates_count_bits_in_powers_of_a_thousand(value: float | None, text: str) -> None:
    assert units.rate(value) == text


@pytest.mark.parametrize(("value", "text"), [(12, "12 B"), (352_321_000, "352 MB"), (1_500, "1.50 kB"), (None, "–")])
def test_sizes_below_a_thousand_bytes_are_whole(value: float | None, text: str) -> None:
    assert units.size(value) == text


def test_prices_have_cents_below_a_thousand() -> None:
    assert [units.price(value) for value in (0.087, 12.5, 1234.6, None)] == ["0.09", "12.50", "1235", "–"]


def test_a_count_has_its_noun_in_the_plural_but_for_one() -> None:
    assert [units.count(number, "probe") for number in (0, 1, 2)] == ["0 probes", "1 probe", "2 probes"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.0, "0"), (0.000_087, "0.087"), (0.0094, "9.40"), (0.25, "250"), (1e-8, "0.000")],
)
def test_a_column_of_milliseconds_has_three_digits_and_at_most_three_decimals(seconds: float | None, text: str) -> None:
    assert units.milliseconds(seconds) == text


@pytest.mark.parametrize(("bps", "text"), [(None, "–"), (5e5, "0.500"), (9.38e6, "9.38"), (9.5e8, "950")])
def test_a_column_of_rates_is_in_megabits_per_second(bps: float | None, text: str) -> None:
    assert units.megabits(bps) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, "–"), (0.0, "0.0"), (0.0001, "<0.1"), (0.015, "1.5"), (1.0, "100.0")]
)
def test_a_loss_is_never_rounded_to_none(ratio: float | None, text: str) -> None:
    assert units.percent(ratio) == text


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_what_is_shown_can_be_typed_again(value: float) -> None:
    assert units.parse_duration(units.duration(value)) == pytest.approx(value, rel=0.006)
    assert units.parse_rate(units.rate(value)) == pytest.approx(value, rel=0.006, abs=0.0006)
    assert units.parse_size(units.size(value)) == pytest.approx(value, rel=0.006, abs=0.6)
