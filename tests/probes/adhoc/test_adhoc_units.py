"""Numbers for people."""

from __future__ import annotations

import pytest

from probes.adhoc import adhoc_units as units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 µs"),
        (4.123e-5, "41.2 µs"),
        (0.0009994, "999 µs"),
        (0.0009996, "1.00 ms"),  # never "1000 µs"
        (0.02345, "23.4 ms"),
        (1.0, "1.00 s"),
        (12345.0, "12345 s"),
        (-0.0021, "-2.10 ms"),
        (None, "–"),
    ],
)
def test_times_have_three_digits_and_a_unit_that_fits(value: float | None, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(941.4e6, "941 Mbit/s"), (1e9, "1.00 Gbit/s"), (0.0, "0 bit/s"), (None, "–")]
)
def test_rates_count_bits_in_powers_of_a_thousand(value: float | None, text: str) -> None:
    assert units.rate(value) == text


@pytest.mark.parametrize(("value", "text"), [(12, "12 B"), (352_321_000, "352 MB"), (1_500, "1.50 kB"), (None, "–")])
def test_bytes_below_a_thousand_are_whole(value: float | None, text: str) -> None:
    assert units.amount(value) == text
